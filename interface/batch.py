"""Answer a file of prompts: one JSON line each, in order, so that an interrupted run goes on where it stopped.

Knows lines of JSON and a progress bar. Does not know how a response is made.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from interface.answer import Settings
from interface.explain import explain
from interface.record import json_line, record
from interface.requests import Request, conversation_of
from mixture import Mixture

ORIGINS = {
    "preference": "preference (weights or profile)",
    "bundle": "bundle",
    "settings": "settings (rule, budget, sampling, seed, stop, --tell, --explain)",
}
"""What an answer depends on beside its prompt, as a person is told of it."""


def made_from(request: Request, mixture: Mixture, settings: Settings, identity: str) -> dict[str, str]:
    """Gives short digests of what an answer depends on beside its prompt: a line keeps them under `made_from`.

    Args:
        request: Is answered.
        mixture: Answers.
        settings: How the answer is drawn.
        identity: Tells the mixture's bundle from others.
    """
    drawn = asdict(settings)
    drawn["sampling"]["logit_bias"] = sorted(map(repr, settings.sampling.logit_bias.items()))  # whatever its order
    bounds = (mixture.rule_name, mixture.cap, mixture.safe, mixture.budget)
    return {
        "preference": _digest(asdict(request.preference) if request.preference else None),
        "bundle": _digest(identity),
        "settings": _digest([drawn, bounds]),
    }


def _digest(content: Any) -> str:
    """Twelve hexadecimal digits that tell a JSON value from others."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def finished(output: Path, requests: Sequence[Request], origins: Sequence[Mapping[str, str]]) -> int:
    """Gives how many of the requests an earlier run has answered; a line that it left unfinished is cut off.

    Args:
        output: What the earlier run wrote, if there was one.
        requests: Of this run.
        origins: What this run makes the answer to each of them from, as `made_from` gives it.

    Raises:
        ValueError: If the file holds other answers than this run would give.
    """
    if not output.exists():
        return 0
    content = output.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    lines = whole.decode("utf-8", errors="replace").split("\n")[:-1]  # a text may hold other line separators
    if len(lines) > len(requests):
        raise ValueError(f"{output} must hold answers to these {len(requests)} prompts, got {len(lines)} lines")
    for number, (text, request, origin) in enumerate(zip(lines, requests, origins, strict=False), start=1):
        if complaint := _complaint(text, request, origin):
            raise ValueError(f"line {number} of {output} must {complaint}: give another --output, or delete the file")
    _cut_off(output, content, len(whole), requests[len(lines) :])
    return len(lines)


def _complaint(text: str, request: Request, origin: Mapping[str, str]) -> str | None:
    """What must hold of a line so that it is the answer that this run would give; None if all of it does."""
    try:
        content = json.loads(text)
        same = content["prompt"] == request.prompt and content["preference"]["text"] == request.wish
        found = content.get("made_from", {})
        others = [told for kind, told in ORIGINS.items() if found.get(kind) != origin[kind]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"answer line {request.line} of the prompts"
    if not same:
        return f"answer line {request.line} of the prompts"
    if not found:
        return "say what it was made from, which earlier versions did not"
    return f"be made with the same {' and '.join(others)} as now" if others else None


def _cut_off(output: Path, content: bytes, end: int, open_requests: Sequence[Request]) -> None:
    """Removes what follows the last whole line, if it is the beginning of the answer that comes next."""
    rest = content[end:]
    if not rest:
        return
    beginnings = [json_line({"prompt": one.prompt, "preference": {"text": one.wish}})[:-3] for one in open_requests[:1]]
    if not any(rest.startswith(begin.encode()) or begin.encode().startswith(rest) for begin in beginnings):
        raise ValueError(f"{output} must end with a whole line or with part of the next answer, got {rest[:40]!r}")
    os.truncate(output, end)


def answer_all(
    mixture: Mixture, requests: Sequence[Request], settings: Settings, first: int, batch_size: int, identity: str
) -> Iterator[str]:
    """Gives the JSON line of each request in order; a request's seed depends on its place, not on its batch.

    Args:
        mixture: Answers.
        requests: All of the file's.
        settings: How answers are drawn.
        first: How many requests are answered already.
        batch_size: Requests decoded side by side.
        identity: Tells the mixture's bundle from others.

    Raises:
        ValueError: If the batch size is below one.
    """
    require_batch_size(batch_size)
    places = iter(range(first, len(requests)))
    while batch := list(islice(places, batch_size)):
        conversations = [conversation_of(requests[place], mixture, settings.told) for place in batch]
        responses = mixture.generate(
            conversations,
            [requests[place].preference for place in batch],
            settings.sampling,
            [settings.seed + place for place in batch],
        )
        for place, conversation, response in zip(batch, conversations, responses, strict=True):
            why = None
            if settings.explained:
                why = explain(mixture, conversation, response, settings.sampling, settings.seed + place)
            said = record(requests[place].prompt, requests[place].wish, response, why)
            yield json_line({**said, "made_from": made_from(requests[place], mixture, settings, identity)})


def require_batch_size(batch_size: int) -> None:
    """Refuses batches of nothing.

    Raises:
        ValueError: If the batch size is below one.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def write_all(
    mixture: Mixture,
    requests: Sequence[Request],
    output: Path,
    settings: Settings,
    batch_size: int,
    identity: str,
    console: Console,
) -> None:
    """Appends the answers that are missing, each line in one piece, under a progress bar.

    Args:
        mixture: Answers.
        requests: All of the file's.
        output: Grows by one line for each answer.
        settings: How answers are drawn.
        batch_size: Requests decoded side by side.
        identity: Tells the mixture's bundle from others.
        console: Where the progress bar goes.

    Raises:
        ValueError: If the batch size is below one, or the output holds something else.
    """
    require_batch_size(batch_size)
    done = finished(output, requests, [made_from(one, mixture, settings, identity) for one in requests])
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("answering", total=len(requests), completed=done)
            for line in answer_all(mixture, requests, settings, done, batch_size, identity):
                os.write(descriptor, line.encode("utf-8"))
                progress.advance(task)
    finally:
        os.close(descriptor)
