"""A page that shows why each token came: who weighed what, who moved it, what could have come instead.

Knows responses and a template without network. Does not know browsers' rendering, nor how a response is made.
"""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from decoding.attribution import moved_most
from decoding.dimension import Dimension
from decoding.response import Response, Token
from interface.colours import colours
from interface.explain import Explanation
from interface.record import DIGITS, rounded

PLACE = "{{ trace }}"
ALTERNATIVES = 6
"""Most probable tokens of each reader on the page."""


def trace_content(
    prompt: str,
    preference_text: str | None,
    rule: str | None,
    dimensions: Sequence[Dimension],
    response: Response,
    explanation: Explanation | None = None,
) -> dict[str, Any]:
    """Gives what the page shows, as JSON values.

    Args:
        prompt: What was asked.
        preference_text: The wish in words; None where there were none.
        rule: Name of the mixing rule; None where it is a function without one.
        dimensions: In the order of the experts.
        response: With alternatives.
        explanation: Of the response; None leaves it out.
    """
    palette = colours([dimension.name for dimension in dimensions])
    return {
        "prompt": prompt,
        "preference": preference_text,
        "rule": rule,
        "asked": dict(response.asked),
        "dimensions": [
            {"name": d.name, "description": d.description, "colour": palette[d.name]}
            for d in dimensions
            if d.name in response.asked
        ],
        "tokens": [_token(token) for token in response.tokens],
        "finish_reason": response.finish_reason,
        "seconds": round(response.seconds, DIGITS),
        "tokens_per_second": round(response.tokens_per_second, 2),
        "explanation": None if explanation is None else {**explanation.as_json(), "nats": _nats(explanation)},
    }


def _nats(explanation: Explanation) -> list[float]:
    return [round(nats, DIGITS) for nats in explanation.nats]


def _token(token: Token) -> dict[str, Any]:
    return {
        "text": token.text,
        "ends": token.ends,
        "mover": moved_most(dict(token.moved)),
        "weights": rounded(token.weights),
        "moved": rounded(token.moved),
        "logprobs": {"mixture": round(token.logprob, DIGITS), **rounded(token.logprobs)},
        "alternatives": {
            reader: [[one.text, round(one.probability, DIGITS)] for one in best]
            for reader, best in token.alternatives.items()
        },
    }


def trace_page(content: Mapping[str, Any]) -> str:
    """Gives the whole page: one file that asks nothing of any network.

    Args:
        content: As `trace_content` gives it.
    """
    template = files("interface").joinpath("trace.html").read_text(encoding="utf-8")
    # Inside a script element only "<" could end it or open a comment.
    data = json.dumps(content, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return template.replace(PLACE, data)


def write_page(path: Path, page: str) -> None:
    """Writes the page whole or not at all.

    Args:
        path: Replaced if it is there.
        page: HTML.
    """
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(page)
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    finally:
        Path(beside).unlink(missing_ok=True)
