"""Read a file of prompts, refusing all of it when one line is wrong.

Knows the fields of a request. Does not know how it is answered.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decoding.conversation import Conversation, require_room
from decoding.sampling import Sampling, processors
from decoding.stopping import endings
from interface.telling import told
from interface.wish import instead
from mixture import Mixture
from pcm.preference import Preference, asked_weights, require_reader

KEYS = ("prompt", "preference", "weights")


@dataclass(frozen=True)
class Request:
    """One line of the prompts file.

    Args:
        prompt: What shall be answered.
        preference: What is asked for; None asks for all alike.
        line: Its number in the file, from 1.
    """

    prompt: str
    preference: Preference | None
    line: int

    @property
    def wish(self) -> str | None:
        """What is asked for in words."""
        return self.preference.text if self.preference else None


def read_requests(path: Path, preference: Preference | None) -> list[Request]:
    """Gives the requests of a JSONL file with lines `{"prompt", "preference"?: text, "weights"?: {dimension: number}}`.

    Args:
        path: The file; empty lines are passed over.
        preference: For the lines that bring none; what is usual in it holds for the others too.

    Raises:
        ValueError: If a line cannot be read; it says which.
    """
    requests = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if line.strip():
            try:
                requests.append(_request(line, preference, number))
            except ValueError as problem:
                raise ValueError(f"line {number} of {path}: {problem}") from problem
    if not requests:
        raise ValueError(f"a prompts file must hold at least one line, got none in {path}")
    return requests


def _request(line: bytes, preference: Preference | None, number: int) -> Request:
    try:
        content = json.loads(line)
    except ValueError as problem:  # neither JSON nor, at times, text
        raise ValueError(f"each line must be a JSON object, this one is not JSON ({problem})") from problem
    if not isinstance(content, dict) or not isinstance(content.get("prompt"), str):
        raise ValueError('each line must be a JSON object with a text under "prompt"')
    if unknown := content.keys() - set(KEYS):
        raise ValueError(f"keys must be among {', '.join(KEYS)}, got {', '.join(sorted(unknown))}")
    if not content["prompt"].strip():
        raise ValueError("a prompt must hold some text, got an empty one")
    wish, weights = content.get("preference"), content.get("weights")
    if not isinstance(wish, str | None):
        raise ValueError(f'"preference" must be a text, got {wish!r}')
    if not _are_weights(weights):
        raise ValueError(f'"weights" must give numbers by dimension, got {weights!r}')
    for text in (content["prompt"], wish or ""):
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError(f"a text must be made of whole characters, got half of one in {text!r}")
    if wish is not None or weights is not None:
        preference = instead(Preference(wish, weights), preference)
    return Request(content["prompt"], preference, number)


def _are_weights(content: Any) -> bool:
    if content is None:
        return True
    return isinstance(content, dict) and all(type(number) in (int, float) for number in content.values())


def conversation_of(request: Request, mixture: Mixture, tell: bool) -> Conversation:
    """Gives what is answered: the prompt, told what is asked for if `tell` is set."""
    asked = [{"role": "user", "content": request.prompt}]
    return told(asked, request.preference, mixture.dimensions) if tell else asked


def require_answerable(mixture: Mixture, requests: Sequence[Request], sampling: Sampling, tell: bool = False) -> None:
    """Refuses the whole file before the first answer when one of its requests cannot be answered.

    Args:
        mixture: Shall answer.
        requests: All of the file's.
        sampling: How tokens will be drawn.
        tell: Whether what is asked for is said in the prompt too.

    Raises:
        ValueError: If a prompt is too long, a dimension unknown, or nobody can read a wish in words (it says in which
            line), or if the sampling is for tokens that the tokenizer does not have.
    """
    processors(sampling, mixture.tokenizer)
    endings(sampling, mixture.stop_ids, mixture.tokenizer)
    for request in requests:
        try:
            if request.preference is not None:
                require_reader(request.preference, mixture.reader)
                _require_weights(mixture, request.preference)
            _, mask = mixture.encode([conversation_of(request, mixture, tell)])
            require_room(mask, sampling.max_new_tokens, mixture.window)
        except ValueError as problem:
            raise ValueError(f"line {request.line}: {problem}") from problem


def _require_weights(mixture: Mixture, preference: Preference) -> None:
    """Refuses numbers that ask for nothing there is; beside a text they may silence what it asks for."""
    if preference.text is None and (preference.usual is None or preference.usual.text is None):
        mixture.asked(preference)
    elif preference.weights is not None:
        asked_weights(preference.weights, mixture.names, [dimension.opposite for dimension in mixture.dimensions])
