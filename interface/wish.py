"""What a person typed as a wish, as a preference.

Knows how weights are written on a command line. Does not know which dimensions there are.
"""

from pcm.preference import Preference


def wish(text: str | None, weights: str | None) -> Preference | None:
    """Gives the preference of a text, of weights, or of both; None where neither was typed.

    Args:
        text: The wish in words.
        weights: The wish in numbers, `friendly=1,concise=0.5`.
    """
    if text is None and weights is None:
        return None
    return Preference(text, None if weights is None else parsed_weights(weights))


def parsed_weights(text: str) -> dict[str, float]:
    """Gives the numbers by dimension.

    Args:
        text: `friendly=1,concise=0.5`.

    Raises:
        ValueError: If a part is no `name=number`, or a name comes twice.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals or not name or name in weights:
            raise ValueError(f"weights must be written name=number,name=number with each name once, got {text!r}")
        weights[name] = value
    return weights
