"""Trains the controller against the learned judges: draw, judge, learn, and validate.

Knows the controller and, as objects handed in, the frozen mixture, its readers and the judges. Does not know where
these come from. The frozen models (`pcm.frozen`) are in no checkpoint, which holds the controller alone; every draw is
a function of (seed, iteration, row), so a run that is taken up again needs no generator's state.

Departures from 2407.04181: the reward is a sum over what is asked, as much of each as is asked, instead of a mean; it
is multiplied by a judged quality and pays for leaving the base (KL).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from decoding.conversation import Conversation
from decoding.dimension import Dimension
from decoding.rules import probability, rule_named
from decoding.sampling import Sampling
from pcm.collapse import CollapseWatch, complaints
from pcm.controller import Controller
from pcm.data import Batch
from pcm.experience import Experience, Experts, Mixture, Rewards, Rollout, monitors
from pcm.frozen import Frozen, Prompts, pair_generators, row_generators
from pcm.objective import Comparison, objective_named
from pcm.schedule import warmed_cosine
from pcm.standing import Standing
from pcm.stored import Judged, StoredPairs
from pcm.worth import worth_named

AGAINST = -1_000_000
"""Numbers from here on downwards draw the answers that responses are measured against."""


class ControllerTraining(LightningModule):
    """One training step is one iteration: two responses for each pair, their rewards, and passes over them.

    Args:
        controller: what learns.
        mixture: draws responses with the controller; its `pcm` is set to it.
        experts: reads finished responses for the passes.
        rewards: the judges, D of them: one for each dimension and one called `quality`, without which quality is 1.
        references: gives the judges' scores (P, D) of a base answer to each prompt, `quality` last; None measures
            against an answer of the uniform mixture to the same prompt and wish, which is drawn anew unless it
            is stored.
        dimensions: the K dimensions, in the experts' order.
        learning_rate: highest rate; warmed up over `warmup` iterations, then a cosine to zero.
        warmup: iterations.
        stored: keeps pairs of the uniform mixture's answers, to which it is then the reference too, and what they are
            measured against: nothing is drawn to learn from but what is not there yet. None draws every pair with the
            controller as it is.
        objective: what the passes make small: `rebel`, `ppo` or `dpo`, see `pcm.objective`.
        worth: what the judges' scores make a response worth: `relative` is r̄_quality · Σ λ_k r̄_k with r̄ the chance of
            beating an answer, `raw` the sum of the scores themselves, see `pcm.worth`.
        eta: η of the objective, nats of log-ratio for each unit of reward.
        beta: reward paid for each nat of KL(mixture‖base), summed over the response; what one asked dimension is worth
            at most is 1.
        reward_temperature: divides the judges' scores. At 1 every r̄ is the chance that its judge means: where judges
            are sure of themselves, still more of what is asked for is soon worth nothing.
        leniency: nats of quality that a response may be behind the base's answer before it loses half of its worth:
            without it a tenth less of quality's chance costs a fifth of everything, and nothing is dared.
        passes: passes over the responses of an iteration.
        minibatches: optimizer steps in a pass.
        clip: largest norm of a gradient.
        max_new_tokens: most tokens of a response.
        temperature: of the policy that learns, above 0: responses are drawn at it, and π is softmax(log mixture / T).
            Where answers will be given at a low one, 1 pays for what only makes the mixture more certain.
        validation_temperature: at which validation decodes.
        seed: of everything drawn here.

    Raises:
        ValueError: if the objective or the worth is unknown, or a temperature not above 0.
    """

    def __init__(
        self,
        controller: Controller,
        mixture: Mixture,
        experts: Experts,
        rewards: Rewards,
        references: Callable[[Sequence[Conversation]], Tensor] | None,
        dimensions: tuple[Dimension, ...],
        stored: StoredPairs | None = None,
        learning_rate: float = 2e-3,
        warmup: int = 5,
        objective: str = "rebel",
        worth: str = "relative",
        eta: float = 4.0,
        beta: float = 0.015,
        reward_temperature: float = 1.0,
        leniency: float = 0.0,
        passes: int = 4,
        minibatches: int = 4,
        clip: float = 1.0,
        max_new_tokens: int = 96,
        temperature: float = 1.0,
        validation_temperature: float = 0.5,
        seed: int = 0,
    ) -> None:
        for name, value in {"reward_temperature": reward_temperature, "temperature": temperature}.items():
            if not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        super().__init__()
        self.automatic_optimization = False
        self.controller = controller
        self.frozen = Frozen(mixture, experts, rewards, [dimension.name for dimension in dimensions])
        mixture.pcm = controller
        self.references, self.stored, self.rule = references, stored, rule_named(mixture.rule)
        self.dimensions = dimensions  # the command line hands them on to the data
        self.temperature, self.objective, self.worth = temperature, objective_named(objective), worth_named(worth)
        self.learning_rate, self.warmup, self.eta, self.beta = learning_rate, warmup, eta, beta
        self.reward_temperature, self.leniency = reward_temperature, leniency
        self.passes, self.minibatches, self.clip, self.seed = passes, minibatches, clip, seed
        self.drawing = Sampling(temperature=temperature, max_new_tokens=max_new_tokens)
        self.validating = Sampling(temperature=validation_temperature, max_new_tokens=max_new_tokens)
        self.watch, self.standing = CollapseWatch(), Standing()

    def configure_optimizers(self) -> Any:
        """Gives Adam and its schedule, stepped once in an iteration."""
        optimizer = torch.optim.Adam(self.controller.parameters(), lr=self.learning_rate)
        total = max(1, int(self.trainer.estimated_stepping_batches))

        schedule = partial(warmed_cosine, warmup=self.warmup, total=total)
        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)]

    def training_step(self, batch: Batch, _: int) -> None:
        """Takes two responses for each pair, judged, and learns from the difference."""
        prompts = self.frozen.prompts(batch, times=2)  # (2P, ...)
        self.controller.eval()
        drawn = self.pairs(batch, prompts)
        utilities = self.judge(batch, drawn.scores, self.beaten(batch, together=True))  # (2P,)
        experience = self.frozen.read(prompts, drawn, self.controller.places_matter)
        old, divergence, seen = self.look(experience, drawn)
        reward = utilities - self.beta * experience.log_ratio(old, len(drawn.tokens))
        self.controller.train()
        losses = self.learn(experience, old, reward, batch.number)
        cast(Any, self.lr_schedulers()).step()
        self.log_iteration(losses, utilities, divergence, drawn, seen)

    @property
    def drawer(self) -> Controller | None:
        """Whose answers are learned from: the controller's own, or those of the uniform mixture that are stored."""
        return self.controller if self.stored is None else None

    def pairs(self, batch: Batch, prompts: Prompts) -> Judged:
        """Gives two responses to each prompt with the judges' scores, first all first ones, then all second ones."""

        def draw() -> Judged:
            generators = self.pair_generators(2 * batch.number, len(batch.asked))
            return self.frozen.judged(batch, self.drawer, prompts, self.drawing, generators)

        return draw() if self.stored is None else self.stored(batch, (self.seed, self.drawing), draw)

    def judge(self, batch: Batch, scores: Tensor, beaten: Tensor) -> Tensor:
        """Gives what S responses are worth (S,), from their scores (S, D) and those to be beaten (P, D).

        `batch` holds the P prompts once; the responses answer them round and round.
        """
        times = len(scores) // len(beaten)
        reference = beaten.to(scores).repeat(times, 1)
        reference[:, len(self.dimensions) :] -= self.leniency
        return self.worth(scores, reference, batch.asked.repeat(times, 1), self.reward_temperature)

    def beaten(self, batch: Batch, together: bool = False) -> Tensor:
        """Gives the scores (P, D) of the answers that responses are measured against.

        Args:
            batch: what they answer.
            together: whether several processes draw what one with all their prompts would, as in training; in
                validation each has all of them.
        """
        if self.references is not None:
            return self.references(batch.conversations)

        def draw() -> Judged:
            number, rows = AGAINST - batch.number, len(batch.asked)
            generators = self.pair_generators(number, rows)[:rows] if together else self.generators(number, rows)
            return self.frozen.judged(batch, None, self.frozen.prompts(batch), self.drawing, generators)

        kept = draw() if self.stored is None else self.stored(batch, (self.seed, self.drawing, "against"), draw)
        return kept.scores

    @torch.no_grad()
    def look(self, experience: Experience, drawn: Rollout) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Gives log π_t of each token (N,), KL(π‖base) of each response in nats (S,), and what to monitor.

        π_t is the policy that drew the responses, π the controller's.
        """
        mixed, log_weights = experience.mixed(self.rule, self.controller)
        seen = monitors(experience, log_weights, mixed, self.rule, self.frozen.poles)
        theirs = mixed if self.drawer is self.controller else experience.mixed(self.rule, self.drawer)[0]
        drift = experience.chosen(theirs) - drawn.logprobs[drawn.mask.bool()]
        seen["rollout/gap"] = drift.abs().max()  # decoding against reading
        divergence = experience.divergence(self.policy(mixed), len(drawn.tokens))
        return experience.chosen(self.policy(theirs)), divergence, seen

    def policy(self, mixed: Tensor) -> Tensor:
        """Gives ln π (N, V) of the policy that learns, from the mixture's: mixed first, then tempered."""
        return mixed if self.temperature == 1.0 else (mixed / self.temperature).log_softmax(-1)

    def learn(self, experience: Experience, old: Tensor, reward: Tensor, number: int) -> Tensor:
        """Takes the passes' optimizer steps and gives their losses.

        Args:
            experience: readings of 2P responses; response p and response P + p answer the same pair.
            old: log π_t of each token (N,).
            reward: what each response is worth, KL paid (2P,).
            number: the iteration, which orders the minibatches.
        """
        pairs = len(reward) // 2
        generator = self.generators(2 * number + 1, 1)[0]
        experience = self.needed(experience)
        optimizer = cast(torch.optim.Optimizer, self.optimizers())
        losses = []
        for _ in range(self.passes):
            order = torch.randperm(pairs, generator=generator, device=generator.device)
            for first in order.tensor_split(min(self.minibatches, pairs)):
                loss = self.loss(experience, old, reward, first, first + pairs)
                optimizer.zero_grad()
                self.manual_backward(loss)
                self.clip_gradients(optimizer, gradient_clip_val=self.clip, gradient_clip_algorithm="norm")
                optimizer.step()
                losses.append(loss.detach())
        return torch.stack(losses)

    def needed(self, experience: Experience) -> Experience:
        """Gives what the passes need of readings: the drawn tokens alone where the rule asks no others."""
        return experience.drawn_alone() if self.rule is probability and self.temperature == 1.0 else experience

    def loss(self, experience: Experience, old: Tensor, reward: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Gives the objective's loss of the pairs (first, second), both (p,) numbers of responses."""
        wanted = torch.zeros_like(reward, dtype=torch.bool)
        wanted[first], wanted[second] = True, True
        part = experience.only(wanted)
        mixed, _ = part.mixed(self.rule, self.controller)
        known, new = old[wanted[experience.response]], part.chosen(self.policy(mixed))
        return self.objective(Comparison(new, known, part.response, reward, first, second), self.eta)

    def log_iteration(
        self, losses: Tensor, utilities: Tensor, divergence: Tensor, drawn: Rollout, seen: dict[str, Tensor]
    ) -> None:
        """Logs one iteration, and warns of a collapse; what is in the progress bar is what to watch."""
        for complaint in self.watch.hear(complaints({name: float(value) for name, value in seen.items()})):
            rank_zero_warn(complaint)
        pairs = len(utilities) // 2
        self.log("train/utility", utilities.mean(), prog_bar=True, batch_size=pairs)
        self.log("train/moved", seen.pop("weights/moved"), prog_bar=True, batch_size=pairs)
        spread = (utilities[:pairs] - utilities[pairs:]).abs().mean()
        rate = torch.tensor(cast(Any, self.lr_schedulers()).get_last_lr()[0])
        values = {"train/loss_first": losses[0], "train/loss_last": losses[-1], "train/kl_to_base": divergence.mean()}
        values |= {"train/utility_difference": spread, "train/learning_rate": rate}
        values["train/tokens"] = drawn.mask.float().sum(-1).mean()
        self.log_dict({**values, **seen}, batch_size=pairs)

    @torch.no_grad()
    def rewards(self, batch: Batch, controller: Controller | None) -> Tensor:
        """Gives the rewards of the mixture's responses (P,), KL paid, with this controller (None: uniform)."""
        generators = self.generators(-1 - batch.number, len(batch.asked))
        prompts = self.frozen.prompts(batch)
        drawn = self.frozen.judged(batch, controller, prompts, self.validating, generators)
        experience = self.frozen.read(prompts, drawn, self.controller.places_matter)
        logprobs, _ = experience.mixed(self.rule, controller)
        divergence = experience.divergence(logprobs, len(batch.asked))
        return self.judge(batch, drawn.scores, self.beaten(batch)) - self.beta * divergence

    def validation_step(self, batch: Batch, _: int) -> None:
        """Decodes a validation batch, with the same random numbers every time; the uniform mixture once only."""
        self.measure_uniform(batch)
        self.standing.current[batch.number] = self.rewards(batch, self.controller)

    def measure_uniform(self, batch: Batch) -> None:
        """Decodes a validation batch with the uniform mixture unless this was done before."""
        if batch.number not in self.standing.uniform:
            self.standing.uniform[batch.number] = self.rewards(batch, None)

    def on_validation_epoch_end(self) -> None:
        """Logs mean and 95 % half width of the reward, of the uniform mixture's, and of their paired difference."""
        for name, value in self.standing.ended().items():
            self.log(f"validation/{name}", value, prog_bar=name in ("reward", "advantage"))

    def on_fit_start(self) -> None:
        """Takes the frozen models to where the controller is: no module tree holds them, so nobody else does."""
        self.frozen.to(self.device)

    def on_validation_start(self) -> None:
        """The same for a validation without training."""
        self.frozen.to(self.device)

    def on_train_start(self) -> None:
        """Measures the uniform mixture before the first iteration, which is where the controller starts."""
        for batch in cast(Any, self.trainer).datamodule.val_dataloader():
            self.measure_uniform(self.transfer_batch_to_device(batch, self.device, 0))
        measured = {f"validation/{name}": float(value) for name, value in self.standing.begun().items()}
        for logger in self.loggers:
            logger.log_metrics(measured, step=0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the uniform mixture's rewards beside the controller."""
        checkpoint["uniform"] = self.standing.uniform

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes them up again."""
        self.standing.uniform = checkpoint["uniform"]

    def pair_generators(self, number: int, pairs: int) -> list[torch.Generator]:
        """Gives the generators of this process's part of a draw (2P); see `pcm.frozen.pair_generators`."""
        place = (self._trainer.global_rank, self._trainer.world_size) if self._trainer is not None else (0, 1)
        return pair_generators(self.seed, number, pairs, self.device, *place)

    def generators(self, number: int, count: int) -> list[torch.Generator]:
        """Gives one generator for each row; see `pcm.frozen.row_generators`."""
        return row_generators(self.seed, number, count, self.device)
