"""What must hold of every expert while it trains, and what to change when it does not.

Knows the metrics of an update. Does not know how experts are trained or kept.
"""

from collections import Counter
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from experts.exam import Answers


class CollapseError(RuntimeError):
    """Training that would only make an expert worse; the message names the expert and what to change."""


def require_finite(what: str, numbers: Tensor, names: tuple[str, ...], update: int) -> None:
    """Stops at the first number that is none.

    Args:
        what: what the numbers are.
        numbers: one for each expert, `(K,)`.
        names: of the experts.
        update: which update it is, counted from one.

    Raises:
        CollapseError: if a number is NaN or infinite.
    """
    for name, number in zip(names, numbers.tolist(), strict=True):
        if number - number != 0:  # of NaN and infinity alone
            raise CollapseError(
                f"the {what} of expert {name!r} must be finite, got {number} at update {update}: lower "
                "ppo.learning_rate or ppo.largest_norm, and look at what its reward says of its answers"
            )


class Guards(Callback):
    """Stops training when an expert collapses; a sign must show in several updates in a row.

    While a sign shows, `suspicious` is true, and no checkpoint should be kept.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        *,
        patience: int = 5,
        shortest: int = 2,
        largest_drop: float = 0.25,
        least_entropy: float = 0.001,
    ) -> None:
        """Watches the named experts.

        Args:
            names: of the experts.
            patience: updates in a row in which a sign must show; the start is measured over as many.
            shortest: tokens; answers none of which is longer are a sign, the end counted.
            largest_drop: of an expert's own mean reward or quality, chances between 0 and 1, below their start.
            least_entropy: mean nats of the next-token distributions.

        Raises:
            ValueError: if the patience is not positive.
        """
        if patience < 1:
            raise ValueError(f"patience must be at least 1 update, got {patience}")
        self.names, self.patience = names, patience
        self.shortest, self.largest_drop, self.least_entropy = shortest, largest_drop, least_entropy
        self.first_rewards: list[list[float]] = []
        self.first_qualities: list[list[float]] = []
        self.signs: Counter[str] = Counter()

    @property
    def suspicious(self) -> bool:
        """Whether some expert shows a sign of collapse."""
        return any(self.signs.values())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks at the update which just ended."""
        self.look(outputs["metrics"], outputs["answers"], batch_idx + 1)

    def look(self, metrics: dict[str, Tensor], answers: Answers, update: int) -> None:
        """Counts the signs of one update.

        Args:
            metrics: `reward`, `quality` (NaN where nothing judges it), `kl`, `entropy` and whatever else, `(K,)` each.
            answers: what the experts answered.
            update: which update it is, counted from one.

        Raises:
            CollapseError: if a number is not finite, or a sign has shown for too long.
        """
        for what in ("reward", "kl", "entropy"):
            require_finite(what, metrics[what], self.names, update)
        if len(self.first_rewards) < self.patience:
            self.first_rewards.append(metrics["reward"].tolist())
            self.first_qualities.append(metrics["quality"].tolist())
        for number, name in enumerate(self.names):
            signs = self._signs(number, metrics, answers)
            for sign, advice in signs:
                self.signs[f"{name}/{sign}"] += 1
                if self.signs[f"{name}/{sign}"] >= self.patience:
                    raise CollapseError(self._diagnosis(name, update, advice))
            present = {f"{name}/{sign}" for sign, _ in signs}
            for key in [key for key in self.signs if key.startswith(f"{name}/") and key not in present]:
                del self.signs[key]

    def _signs(self, number: int, metrics: dict[str, Tensor], answers: Answers) -> list[tuple[str, str]]:
        """The signs that an expert shows, each with what was seen and what to change."""
        reward, quality, entropy = (float(metrics[name][number]) for name in ("reward", "quality", "entropy"))
        start, first_quality = (
            sum(update[number] for update in first) / len(first) for first in (self.first_rewards, self.first_qualities)
        )
        longest = int(answers.lengths[answers.experts == number].max())
        seen = []
        if longest <= self.shortest:
            told = f"no answer has more than {longest} tokens; raise exam.quality_weight or ppo.kl_coefficient"
            seen.append(("short", f"{told}, or give rewards that do not prefer to hear nothing"))
        if reward < start - self.largest_drop:
            told = f"its own reward fell from {start:.2f} to {reward:.2f}; lower ppo.learning_rate"
            seen.append(("worse", f"{told}, or exam.quality_weight if quality outweighs its own reward"))
        if quality < first_quality - self.largest_drop:  # never, where nothing judges it
            told = f"its quality fell from {first_quality:.2f} to {quality:.2f}; raise exam.quality_weight"
            seen.append(("untrue", f"{told} or ppo.kl_coefficient, or lower ppo.learning_rate"))
        if entropy < self.least_entropy:
            told = f"its next token is all but certain, entropy {entropy:.1e} nats; raise ppo.entropy_coefficient"
            seen.append(("certain", f"{told} or ppo.kl_coefficient, or lower ppo.learning_rate"))
        return seen

    def _diagnosis(self, name: str, update: int, advice: str) -> str:
        return f"expert {name!r} collapsed at update {update}, after {self.patience} updates alike: {advice}"

    def state_dict(self) -> dict[str, Any]:
        """What was counted, for a checkpoint."""
        firsts = {"first_rewards": self.first_rewards, "first_qualities": self.first_qualities}
        return {**firsts, "signs": dict(self.signs)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on counting where a checkpoint was."""
        self.first_rewards, self.first_qualities = state_dict["first_rewards"], state_dict["first_qualities"]
        self.signs = Counter(state_dict["signs"])


def require_finite_parameters(parameters: dict[str, list[torch.nn.Parameter]], update: int) -> None:
    """Stops where a step left numbers that are none.

    Args:
        parameters: of each expert by its name.
        update: which update it is, counted from one.

    Raises:
        CollapseError: if a parameter is not finite.
    """
    sums = [float(sum(parameter.detach().abs().sum() for parameter in owned)) for owned in parameters.values()]
    require_finite("size of the parameters", torch.tensor(sums), tuple(parameters), update)
