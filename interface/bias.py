"""What a person typed as a bias towards tokens, as numbers by token.

Knows how a bias is written on a command line. Does not know which tokens there are.
"""


def parsed_bias(text: str) -> dict[int | str, float]:
    """Gives the nats by token.

    Args:
        text: `1234=-5, warm=2`. What stands before an equals sign is a token's id if it is a whole number, otherwise a
            text to the letter: spaces count, commas separate.

    Raises:
        ValueError: If a part is no `token=number`, or a token comes twice.
    """
    bias: dict[int | str, float] = {}
    for part in text.split(","):
        typed, equals, number = part.rpartition("=")
        token = int(typed) if typed.strip().isdecimal() else typed
        try:
            nats = float(number)
        except ValueError:
            equals = ""
        if not equals or not typed or token in bias:
            raise ValueError(f"a bias must be written token=number,token=number with each token once, got {text!r}")
        bias[token] = nats
    return bias
