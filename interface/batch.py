"""Answer a file of prompts: one JSON line each, in order, so that an interrupted run goes on where it stopped.

Knows lines of JSON and a progress bar. Does not know how a response is made.
"""

import json
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from interface.answer import Settings
from interface.explain import explain
from interface.record import json_line, record, rounded
from interface.requests import Request, conversation_of
from mixture import Mixture


def finished(mixture: Mixture, output: Path, requests: Sequence[Request]) -> int:
    """Gives how many of the requests an earlier run has answered; a line that it left unfinished is cut off.

    Args:
        mixture: Says what a preference in numbers asks for.
        output: What the earlier run wrote, if there was one.
        requests: Of this run.

    Raises:
        ValueError: If the file holds answers to other requests.
    """
    if not output.exists():
        return 0
    content = output.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    lines = whole.decode("utf-8", errors="replace").split("\n")[:-1]  # a text may hold other line separators
    if len(lines) > len(requests):
        raise ValueError(f"{output} must hold answers to these {len(requests)} prompts, got {len(lines)} lines")
    for number, (text, request) in enumerate(zip(lines, requests, strict=False), start=1):
        if not _answers(text, request, mixture):
            raise ValueError(f"line {number} of {output} must answer line {number} of the prompts: give another output")
    _cut_off(output, content, len(whole), requests[len(lines) :])
    return len(lines)


def _answers(text: str, request: Request, mixture: Mixture) -> bool:
    """Whether a line answers this request, which was asked for in the same words or numbers."""
    try:
        content = json.loads(text)
        same = content["prompt"] == request.prompt and content["preference"]["text"] == request.wish
        asked = content["preference"]["asked"]
    except (ValueError, KeyError, TypeError):
        return False
    in_words = request.wish is not None  # which are the same then, and need not be read again
    return bool(same and (in_words or asked == rounded(mixture.understood(request.preference))))


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
    mixture: Mixture, requests: Sequence[Request], settings: Settings, first: int, batch_size: int
) -> Iterator[str]:
    """Gives the JSON line of each request in order; a request's seed depends on its place, not on its batch.

    Args:
        mixture: Answers.
        requests: All of the file's.
        settings: How answers are drawn.
        first: How many requests are answered already.
        batch_size: Requests decoded side by side.

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
            yield json_line(record(requests[place].prompt, requests[place].wish, response, why))


def require_batch_size(batch_size: int) -> None:
    """Refuses batches of nothing.

    Raises:
        ValueError: If the batch size is below one.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def write_all(
    mixture: Mixture, requests: Sequence[Request], output: Path, settings: Settings, batch_size: int, console: Console
) -> None:
    """Appends the answers that are missing, each line in one piece, under a progress bar.

    Args:
        mixture: Answers.
        requests: All of the file's.
        output: Grows by one line for each answer.
        settings: How answers are drawn.
        batch_size: Requests decoded side by side.
        console: Where the progress bar goes.

    Raises:
        ValueError: If the batch size is below one, or the output holds something else.
    """
    require_batch_size(batch_size)
    done = finished(mixture, output, requests)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("answering", total=len(requests), completed=done)
            for line in answer_all(mixture, requests, settings, done, batch_size):
                os.write(descriptor, line.encode("utf-8"))
                progress.advance(task)
    finally:
        os.close(descriptor)
