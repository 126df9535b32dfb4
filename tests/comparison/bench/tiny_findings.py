"""What a bench of a tiny shape could have found."""

SETTINGS = {
    "shape": "tiny",
    "rank": 16,
    "dtypes": ["float32"],
    "effort": {"prompt_tokens": 64},
    "load": {"requests": 6, "preferences": 3, "each": 2, "experts": 3, "prompt_tokens": 4, "new_tokens": 5},
}


def row(name, milliseconds, engine="eager", experts=6, **told):
    """A line of the findings; what is told replaces what stands here."""
    return {
        "name": name, "experts": experts, "engine": engine, "batch": 1, "phase": "decode", "dtype": "float32",
        "ms_per_token": milliseconds, "spread": 0.25, "ratio_to_soup": 1.5, "ratio_to_floor": None,
        "peak_bytes": 3_000_000, "rounds": 5, "each_round": [milliseconds] * 5,
    } | told  # fmt: skip
