"""A response as one JSON object.

Knows the names of the fields that other programs read. Does not know who reads them.
"""

import json
from collections.abc import Mapping
from typing import Any

from decoding.response import Response
from interface.explain import Explanation

DIGITS = 6


def record(
    prompt: str, preference_text: str | None, response: Response, explanation: Explanation | None = None
) -> dict[str, Any]:
    """Gives the object that describes a response.

    Args:
        prompt: What was asked.
        preference_text: The wish in words; None where it came as weights or not at all.
        response: Complete.
        explanation: Of the response, if one is wanted.
    """
    tokens = [
        {"text": token.text, "logprob": round(token.logprob, DIGITS), "weights": rounded(token.weights)}
        for token in response.tokens
    ]
    content = {
        "prompt": prompt,
        "preference": {"text": preference_text, "asked": rounded(response.asked)},
        "text": response.text,
        "finish_reason": response.finish_reason,
        "tokens": tokens,
        "seconds": round(response.seconds, DIGITS),
        "tokens_per_second": round(response.tokens_per_second, 2),
    }
    return content if explanation is None else {**content, "explanation": explanation.as_json()}


def json_line(content: Mapping[str, Any]) -> str:
    """Gives the object as one line of JSONL, its newline included.

    Args:
        content: JSON values only; a number that JSON has no word for is an error.
    """
    return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"


def rounded(numbers: Mapping[str, float]) -> dict[str, float]:
    """Gives numbers by name as they stand in a record.

    Args:
        numbers: Weights, or what is asked for.
    """
    return {name: round(number, DIGITS) for name, number in numbers.items()}
