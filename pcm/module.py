"""Trains the controller against the learned judges: draw, judge, learn, and validate.

Knows the controller and, as objects handed in, the frozen mixture, its readers and the judges. Does not know where
these come from. The frozen models stay outside the module tree, so a checkpoint holds the controller alone; every
draw is a function of (seed, iteration, row), so a run that is taken up again needs no generator's state.

Departures from 2407.04181: the reward is a sum over what is asked, as much of each as is asked, instead of a mean; it
is multiplied by a judged quality and pays for leaving the base (KL).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from decoding.answered import Answered
from decoding.dimension import Dimension
from decoding.rules import rule_named
from decoding.sampling import Sampling
from pcm.collapse import CollapseWatch, complaints
from pcm.controller import Controller
from pcm.data import Batch, Conversation
from pcm.experience import Experience, Experts, Mixture, Rewards, Rollout, monitors, read_responses
from pcm.objective import Comparison, objective_named, relative_rewards, utility

QUALITY = "quality"
AGAINST = -1_000_000
"""Numbers from here on downwards draw the answers that responses are measured against."""


class ControllerTraining(LightningModule):
    """One training step is one iteration: two responses for each pair, their rewards, and passes over them.

    Args:
        controller: what learns.
        mixture: draws responses with the controller; its `pcm` is set to it.
        experts: reads finished responses for the passes.
        rewards: the judges.
        references: gives the judges' scores (P, K + 1) of a base answer to each prompt, `quality` last; None measures
            against an answer of the uniform mixture to the same prompt and wish, drawn anew each time.
        dimensions: the K dimensions, in the experts' order.
        learning_rate: highest rate; warmed up over `warmup` iterations, then a cosine to zero.
        warmup: iterations.
        objective: what the passes make small: `rebel`, `ppo` or `dpo`, see `pcm.objective`.
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
        ValueError: if the objective is unknown, or a temperature not above 0.
    """

    def __init__(
        self,
        controller: Controller,
        mixture: Mixture,
        experts: Experts,
        rewards: Rewards,
        references: Callable[[Sequence[Conversation]], Tensor] | None,
        dimensions: tuple[Dimension, ...],
        learning_rate: float = 2e-3,
        warmup: int = 5,
        objective: str = "rebel",
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
        # In a tuple, because a module given as an attribute would join the module tree and its checkpoints.
        self.frozen = (mixture, experts, rewards)
        mixture.pcm = controller
        self.references, self.dimensions, self.rule = references, dimensions, rule_named(mixture.rule)
        self.temperature = temperature
        self.names = [*(dimension.name for dimension in dimensions), QUALITY]
        self.objective = objective_named(objective)
        self.learning_rate, self.warmup, self.eta, self.beta = learning_rate, warmup, eta, beta
        self.reward_temperature, self.leniency = reward_temperature, leniency
        self.passes, self.minibatches, self.clip, self.seed = passes, minibatches, clip, seed
        self.drawing = Sampling(temperature=temperature, max_new_tokens=max_new_tokens)
        self.validating = Sampling(temperature=validation_temperature, max_new_tokens=max_new_tokens)
        self.watch = CollapseWatch()
        self.uniform: dict[int, Tensor] = {}  # rewards of the uniform mixture, by validation batch
        self.current: dict[int, Tensor] = {}

    def configure_optimizers(self) -> Any:
        """Gives Adam and its schedule, stepped once in an iteration."""
        optimizer = torch.optim.Adam(self.controller.parameters(), lr=self.learning_rate)
        total = max(1, int(self.trainer.estimated_stepping_batches))

        def factor(iteration: int) -> float:
            warm = min(1.0, (iteration + 1) / max(1, self.warmup))
            return warm * 0.5 * (1.0 + math.cos(math.pi * min(1.0, iteration / total)))

        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, factor)]

    def training_step(self, batch: Batch, _: int) -> None:
        """Draws two responses for each pair, judges them and learns from the difference."""
        input_ids, attention_mask = self.frozen[0].encode(batch.heard)
        twice = (input_ids.repeat(2, 1), attention_mask.repeat(2, 1), batch.asked.repeat(2, 1))  # (2P, ...)
        self.controller.eval()
        drawn = self.frozen[0].rollout(*twice, self.drawing, self.pair_generators(batch.number, len(input_ids)))
        utilities = self.judge(batch, drawn, self.beaten(batch))  # (2P,)
        experience = self.experience(*twice, drawn)
        old, divergence, seen = self.look(experience, drawn)
        reward = utilities - self.beta * experience.log_ratio(old, len(drawn.tokens))
        self.controller.train()
        losses = self.learn(experience, old, reward, batch.number)
        cast(Any, self.lr_schedulers()).step()
        self.log_iteration(losses, utilities, divergence, drawn, seen)

    def experience(self, input_ids: Tensor, attention_mask: Tensor, asked: Tensor, drawn: Rollout) -> Experience:
        """Gives what base and experts say about the responses that were drawn, as this controller wants it."""
        return read_responses(
            self.frozen[1],
            input_ids,
            attention_mask,
            drawn.tokens,
            drawn.mask,
            asked,
            places_matter=self.controller.places_matter,
        )

    def judge(self, batch: Batch, drawn: Rollout, beaten: Tensor) -> Tensor:
        """Gives what each response is worth (S,): r̄_quality · Σ λ_k r̄_k against scores (P, K + 1) to be beaten.

        `batch` holds the prompts once, `drawn` has S responses to them, round and round.
        """
        times, raw = len(drawn.tokens) // len(batch.conversations), self.scores(batch, drawn)
        reference = beaten.to(raw).repeat(times, 1)
        reference[:, -1] -= self.leniency
        relative = relative_rewards(raw, reference, self.reward_temperature)
        return utility(relative[:, :-1], relative[:, -1], batch.asked.repeat(times, 1))

    def beaten(self, batch: Batch) -> Tensor:
        """Gives the scores (P, K + 1) of the answers that responses are measured against."""
        if self.references is not None:
            return self.references(batch.conversations)
        generators = self.generators(AGAINST - batch.number, len(batch.asked))
        return self.scores(batch, self.drawn_by(None, batch, self.drawing, generators))

    def drawn_by(
        self, controller: Controller | None, batch: Batch, sampling: Sampling, generators: Sequence[torch.Generator]
    ) -> Rollout:
        """Gives a response (P) to each prompt by the mixture with this controller; None is the uniform one."""
        mixture = self.frozen[0]
        mixture.pcm = controller
        try:
            return mixture.rollout(*mixture.encode(batch.heard), batch.asked, sampling, generators)
        finally:
            mixture.pcm = self.controller

    def scores(self, batch: Batch, drawn: Rollout) -> Tensor:
        """Gives the judges' scores (S, K + 1) of responses, zero for what is not asked for; quality always is.

        Judges do not hear the words in which a prompt was told what is asked for.

        Raises:
            ValueError: if a judge gives something that is not a number.
        """
        times = len(drawn.tokens) // len(batch.conversations)
        input_ids, attention_mask = (part.repeat(times, 1) for part in self.frozen[0].encode(batch.conversations))
        asked = batch.asked.repeat(times, 1)
        texts = Answered.joined(input_ids, attention_mask, drawn.tokens, drawn.mask)
        needed = torch.cat((asked > 0, torch.ones_like(asked[:, :1], dtype=torch.bool)), dim=-1)  # (S, K + 1)
        raw = self.frozen[2].score(texts, self.names, needed)
        if not bool(raw.isfinite().all()):
            raise ValueError(f"rewards must be finite, got {int((~raw.isfinite()).sum())} that are not")
        return raw

    @torch.no_grad()
    def look(self, experience: Experience, drawn: Rollout) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Gives log π_t of each token (N,), KL(π_t‖base) of each response in nats (S,), and what to monitor."""
        mixed, log_weights = experience.mixed(self.rule, self.controller)
        logprobs = self.policy(mixed)
        seen = monitors(experience, log_weights, mixed, self.rule, self.names[:-1])
        drift = experience.chosen(mixed) - drawn.logprobs[drawn.mask.bool()]
        seen["rollout/gap"] = drift.abs().max()  # decoding against reading
        return experience.chosen(logprobs), experience.divergence(logprobs, len(drawn.tokens)), seen

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
        drawn = self.drawn_by(controller, batch, self.validating, generators)
        experience = self.experience(*self.frozen[0].encode(batch.heard), batch.asked, drawn)
        logprobs, _ = experience.mixed(self.rule, controller)
        divergence = experience.divergence(logprobs, len(batch.asked))
        return self.judge(batch, drawn, self.beaten(batch)) - self.beta * divergence

    def validation_step(self, batch: Batch, _: int) -> None:
        """Decodes a validation batch, with the same random numbers every time; the uniform mixture once only."""
        if batch.number not in self.uniform:
            self.uniform[batch.number] = self.rewards(batch, None)
        self.current[batch.number] = self.rewards(batch, self.controller)

    def on_validation_epoch_end(self) -> None:
        """Logs mean and 95 % half width of the reward, of the uniform mixture's, and of their paired difference."""
        numbers = sorted(self.current)
        reward = torch.cat([self.current[number] for number in numbers])
        uniform = torch.cat([self.uniform[number] for number in numbers]).to(reward)
        self.current = {}
        for name, values in (("reward", reward), ("uniform", uniform), ("advantage", reward - uniform)):
            self.log(f"validation/{name}", values.mean(), prog_bar=name != "uniform")
            self.log(f"validation/{name}_half_width", half_width(values))

    def on_train_start(self) -> None:
        """Measures the uniform mixture before the first iteration, which is where the controller starts."""
        for batch in cast(Any, self.trainer).datamodule.val_dataloader():
            if batch.number not in self.uniform:
                self.uniform[batch.number] = self.rewards(self.transfer_batch_to_device(batch, self.device, 0), None)
        values = torch.cat(list(self.uniform.values()))
        for logger in self.loggers:
            measured = {
                "validation/uniform": float(values.mean()),
                "validation/uniform_half_width": float(half_width(values)),
            }
            logger.log_metrics(measured, step=0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the uniform mixture's rewards beside the controller."""
        checkpoint["uniform"] = self.uniform

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes them up again."""
        self.uniform = checkpoint["uniform"]

    def pair_generators(self, number: int, pairs: int) -> list[torch.Generator]:
        """Gives the generators of an iteration's responses, first all first ones, then all second ones (2P).

        Several processes draw together what one process with all their pairs would draw.

        Args:
            number: the iteration.
            pairs: of this process, P; all processes have as many.
        """
        world, rank = (self._trainer.world_size, self._trainer.global_rank) if self._trainer is not None else (1, 0)
        everybody = self.generators(2 * number, 2 * world * pairs)
        return [*everybody[rank * pairs :][:pairs], *everybody[(world + rank) * pairs :][:pairs]]

    def generators(self, number: int, count: int) -> list[torch.Generator]:
        """Gives one generator for each row, a function of the seed, a number and the row."""
        first = (self.seed * 1_000_003 + number) * 4096
        device = self.device
        return [torch.Generator(device).manual_seed((first + row) % 2**63) for row in range(count)]


def half_width(values: Tensor) -> Tensor:
    """Gives half the width of the 95 % interval of the mean of values (n,); zero for a single one."""
    if len(values) < 2:
        return values.new_zeros(())
    return 1.96 * values.std() / math.sqrt(len(values))
