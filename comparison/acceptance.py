"""What a comparison must show before its bundle is good enough, line by line.

Knows the report's shape and the bounds. Does not know how the numbers came about.
"""

from collections.abc import Iterator, Mapping
from typing import Any

BASE_QUALITY = 0.95
EXPERT_SCORE = 0.92
EXPERT_QUALITY = 0.95
EXPERT_LOSS = 0.02
EXPERT_DRIFT = 0.15
CONTRAST = 0.3


def acceptance(report: Mapping[str, Any], temperature: str) -> list[dict[str, Any]]:
    """Gives every line with its value, its bound and whether it holds.

    Args:
        report: With methods, experts, pairs and the name of the controlled method.
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
        beyond = report["experts"][name][temperature]["beyond_base"]["mean"]
        yield _at_least(f"quality of the {name} expert beyond the base's", beyond, -EXPERT_LOSS)
        for other, moved in [drift(report, name, temperature)] if len(report["axes"]) > 1 else []:
            yield _at_most(f"the {name} expert elsewhere, most on {other}", abs(moved), EXPERT_DRIFT)
    controlled = report["controlled"]
    gap = report["pairs"][f"{controlled}|fixed-uniform"][temperature]["difference"]["low"]
    # The lower end, not the mean: a difference that may be nothing is not yet more than nothing.
    yield {"claim": f"{controlled} above fixed-uniform, lower end", "value": gap, "bound": 0.0, "holds": gap > 0}
    for asked, contrast in methods[controlled]["contrast"].items():
        yield _at_least(f"{asked} against its opposite", contrast["mean"], CONTRAST)


def drift(report: Mapping[str, Any], name: str, temperature: str) -> tuple[str, float]:
    """Gives the dimension of another axis on which an expert is furthest from the base, and how far.

    Args:
        report: With methods and axes, at least two.
        name: Of the expert's own dimension.
        temperature: As the report writes it.
    """
    base, expert = (report["methods"][method][temperature]["by_dimension"] for method in ("base", f"expert-{name}"))
    others = [other for axis in report["axes"] if name not in axis for other in axis]
    moved = {other: expert[other]["mean"] - base[other]["mean"] for other in others}
    furthest = max(moved, key=lambda other: abs(moved[other]))
    return furthest, moved[furthest]


def _at_most(claim: str, value: float, bound: float) -> dict[str, Any]:
    return {"claim": claim, "value": value, "bound": bound, "holds": value <= bound}


def _at_least(claim: str, value: float, bound: float) -> dict[str, Any]:
    return {"claim": claim, "value": value, "bound": bound, "holds": value >= bound}
