"""Says when a controller in training has stopped to control, and what to do.

Knows the numbers that `pcm.experience.monitors` gives. Does not know models.
"""

from collections import Counter
from collections.abc import Mapping

LEAST_EVENNESS = 0.1
"""Of the largest entropy that the weights could have: below it one expert has nearly all of the weight."""
LEAST_SHARE = 0.05
"""Of an equal share: below it an expert that is asked for is not heard."""
LEAST_MOVED = 0.002
"""Of the tokens: below it the controller answers as the uniform mixture does."""


def complaints(seen: Mapping[str, float]) -> dict[str, str]:
    """Gives what is wrong, by the monitor that shows it: what it shows, what it means, what to do.

    Args:
        seen: monitors by name: `weights/evenness`, `weights/moved` and `share/<expert>` are looked at.
    """
    found = {}
    evenness, moved = seen.get("weights/evenness", 1.0), seen.get("weights/moved", 1.0)
    if evenness < LEAST_EVENNESS:
        found["weights/evenness"] = (
            f"the weights have collapsed onto one expert: their entropy is {evenness:.1%} of what it could be. "
            "Lower learning_rate or eta, raise beta, or take an earlier checkpoint"
        )
    if moved < LEAST_MOVED:
        found["weights/moved"] = (
            f"the controller changes nothing: only {moved:.2%} of the tokens would differ under the uniform mixture. "
            "Raise learning_rate or eta; if train/utility_difference is near zero, the rewards tell no answers apart"
        )
    for name, share in seen.items():
        if name.startswith("share/") and share < LEAST_SHARE:
            expert = name.removeprefix("share/")
            found[name] = (
                f"{expert} is not heard where it is asked for: it gets {share:.1%} of an equal share of the weights. "
                f"Look whether the reward of {expert} prefers its expert's answers to the base's; raise beta if "
                "another expert drowns it"
            )
    return found


class CollapseWatch:
    """Speaks up once about each complaint that stays: single iterations are noise, and training starts uniform.

    Args:
        patience: iterations that a complaint must last.
    """

    def __init__(self, patience: int = 5) -> None:
        self.patience = patience
        self.lasted: Counter[str] = Counter()

    def hear(self, found: Mapping[str, str]) -> list[str]:
        """Gives the complaints that have lasted just long enough now.

        Args:
            found: those of this iteration.
        """
        self.lasted = Counter({name: self.lasted[name] + 1 for name in found})
        return [text for name, text in found.items() if self.lasted[name] == self.patience]
