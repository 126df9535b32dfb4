"""What a comparison must show before its bundle is good enough, line by line.

Knows the report's shape and the bounds. Does not know how the numbers came about.
"""

from collections.abc import Iterator, Mapping
from typing import Any

BASE_QUALITY = 0.95
EXPERT_SCORE = 0.85
EXPERT_QUALITY = 0.90
CONTRAST = 0.3


def acceptance(report: Mapping[str, Any], temperature: str) -> list[dict[str, Any]]:
    """Gives every line with its value, its bound and whether it holds.

    Args:
        report: With methods, pairs and the name of the controlled method.
        temperature: As the report writes it.
    """
    return list(
        _lines({name: entries[temperature] for name, entries in report["methods"].items()}, report, temperature)
    )


def _lines(methods: Mapping[str, Any], report: Mapping[str, Any], temperature: str) -> Iterator[dict[str, Any]]:
    """The lines, in the order in which the bundle is made."""
    yield _at_least("quality of the base", methods["base"]["quality"]["mean"], BASE_QUALITY)
    for name in methods["base"]["by_dimension"]:
        expert = methods[f"expert-{name}"]
        yield _at_least(f"{name} expert on its dimension", expert["by_dimension"][name]["mean"], EXPERT_SCORE)
        yield _at_least(f"quality of the {name} expert", expert["quality"]["mean"], EXPERT_QUALITY)
    controlled = report["controlled"]
    gap = report["pairs"][f"{controlled}|fixed-uniform"][temperature]["difference"]["low"]
    # The lower end, not the mean: a difference that may be nothing is not yet more than nothing.
    yield {"claim": f"{controlled} above fixed-uniform, lower end", "value": gap, "bound": 0.0, "holds": gap > 0}
    for asked, contrast in methods[controlled]["contrast"].items():
        yield _at_least(f"{asked} against its opposite", contrast["mean"], CONTRAST)


def _at_least(claim: str, value: float, bound: float) -> dict[str, Any]:
    return {"claim": claim, "value": value, "bound": bound, "holds": value >= bound}
