"""Trains the experts of all dimensions together: one rollout, one backward pass, nothing shared but the frozen base.

Knows the order of one update, optimisers and checkpoints. Does not know files on disk, how answers are sampled and
marked, nor how a loss is computed. The method is PPO (arXiv 1707.06347) as used for language models (1909.08593).

Departures from the textbook: 1. every expert has its own adapter, value head, AdamW state, clipping norm, random
generator, KL controller and early stop, so an expert trained beside others ends as it would alone; 2. the reward is
the chance of beating the base's own answer, which makes rewards of different models comparable; 3. minibatches are cut
into parts of similar length whose gradients are added up, which changes the cost but not the sum; 4. an expert's marks
are counted beyond what its other answers would have earned beside the same reference, which is much of what they vary
by, and centred in each rollout: all of them are positive, and beside value heads that start at zero that would be a
prize for ending early.

Several processes share the prompts of a rollout and the rows of every minibatch. Answers are gathered and gradients
added up, so whitening, controllers and early stops are those of all answers, and one process would do the same.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from experts import ranks
from experts.exam import Answers, Exam
from experts.guards import require_finite, require_finite_parameters
from experts.ledger import Ledger
from experts.ppo import (
    Trajectories,
    clipped,
    explained_variance,
    policy_loss,
    step_kl,
    sum_per_expert,
    value_loss,
)
from experts.rollout import reread
from experts.values import ValueHeads

Metrics = dict[str, Tensor]  # (K,) each
_LEDGER = {"ledger.kl_coefficients", "ledger.prices"}  # what a checkpoint keeps of it
_MEASURED = ("loss", "step_kl", "entropy", "value_loss", "clip_fraction")  # in every minibatch


class JointPPO(LightningModule):
    """Proximal policy optimisation of all experts of a bank; a batch is the numbers `(n,)` of prompts to answer."""

    def __init__(
        self,
        exam: Exam,
        *,
        updates: int = 100,
        kl_coefficient: float = 0.06,
        kl_target: float = 4.0,
        kl_rate: float = 0.1,
        entropy_coefficient: float = 0.003,
        value_coefficient: float = 0.1,
        trace: float = 0.95,
        clip: float = 0.2,
        epochs: int = 2,
        minibatches: int = 2,
        parts: int = 4,
        learning_rate: float = 8e-4,
        weight_decay: float = 0.0,
        largest_norm: float = 1.0,
        stop_kl: float = 0.1,
        hold_rate: float = 0.25,
        hold_gain: float = 2.0,
        seed: int = 0,
    ) -> None:
        """Trains the experts of the exam's bank in place.

        Args:
            exam: the bank with prompts and reward models.
            updates: rollouts in all; the learning rate falls linearly to zero over them.
            kl_coefficient: reward lost per nat of KL to the base, at the start.
            kl_target: nats per response the controller steers to.
            kl_rate: how strongly the controller steers.
            entropy_coefficient: worth of a nat of entropy of a next-token distribution.
            value_coefficient: weight of the value loss, whose gradient also reaches the adapter.
            trace: lambda of the advantage estimate.
            clip: of probability ratios and of values.
            epochs: passes over one rollout.
            minibatches: optimiser steps in a pass.
            parts: forward and backward passes per minibatch.
            learning_rate: of AdamW, at the start.
            weight_decay: likewise.
            largest_norm: a longer gradient of an expert is shortened to it.
            stop_kl: nats per token between sampling and current policy at which an expert waits for the next rollout.
            hold_rate: how fast the price of moving what an expert shall leave alone rises, see `ppo.raised_prices`.
            hold_gain: what comes to the price of a rollout for how far it moved that itself: without it, price and
                expert swing around where they should be (the proportional term of 2007.03964).
            seed: of every draw.
        """
        super().__init__()
        self.exam, self.bank, self.rewards = exam, exam.bank, exam.rewards  # modules move along to the device
        self.updates = updates
        self.entropy_coefficient, self.value_coefficient = entropy_coefficient, value_coefficient
        self.clip, self.epochs, self.minibatches, self.parts = clip, epochs, minibatches, parts
        self.learning_rate, self.weight_decay, self.largest_norm = learning_rate, weight_decay, largest_norm
        self.stop_kl, self.seed = stop_kl, seed
        steering = {"kl_coefficient": kl_coefficient, "kl_target": kl_target, "kl_rate": kl_rate}
        self.ledger = Ledger(exam, **steering, hold_rate=hold_rate, hold_gain=hold_gain, trace=trace)
        self._start()

    def _start(self) -> None:
        """Everything that changes during training beside the adapters."""
        self.automatic_optimization = False
        self.strict_loading = False  # checkpoints hold what is trained, not the frozen base
        self.names, self.count = tuple(self.bank.names), len(self.bank.names)
        base = self.bank.base
        self.values = ValueHeads(base.config.hidden_size, self.count, dtype=base.dtype)
        self.generators = [torch.Generator().manual_seed(self.seed ^ zlib.crc32(name.encode())) for name in self.names]
        self.updates_done = 0

    def training_step(self, prompt_numbers: Tensor) -> dict[str, object]:
        """One update: every expert answers the prompts, then learns from its marks.

        Raises:
            CollapseError: if a loss, a gradient or a parameter is not finite.
        """
        answers = self.exam.sit(prompt_numbers, self.generators, ranks.share(len(prompt_numbers)))
        values = ranks.gathered(self.values_of(answers), self.count)
        answers = answers.gathered(self.count, self.exam.pad_id)
        trajectories = self.ledger.trajectories(answers, values)
        self._decay_learning_rate()
        metrics = self._describe(answers, trajectories) | self.improve(trajectories)
        require_finite_parameters(dict(zip(self.names, self.parameters_of_experts(), strict=True)), self._update)
        self.ledger.close(answers, metrics["kl"])
        metrics["kl_coefficient"] = self.ledger.kl_coefficients.clone()
        self.updates_done += 1
        self._log_metrics(metrics)
        return {"metrics": metrics, "answers": answers}

    @torch.no_grad()
    def values_of(self, answers: Answers) -> Tensor:
        """Predicted return before each token, `(R, T)`."""
        return self.values(answers.hidden, answers.experts) * answers.mask

    def improve(self, trajectories: Trajectories) -> Metrics:
        """Takes the optimiser steps that one rollout is good for; experts that moved far enough sit out the rest."""
        active = torch.ones(self.count, dtype=torch.bool, device=trajectories.mask.device)
        nothing = torch.zeros_like(self.ledger.kl_coefficients)
        reports, passes, steps = [], nothing.clone(), nothing.clone()
        for rows in self._minibatch_rows(trajectories):  # (K, m)
            reports.append(self._backward(trajectories, rows[active]))
            require_finite("loss", reports[-1]["loss"], self.names, self._update)
            passes += active
            active = active & (reports[-1]["step_kl"] <= self.stop_kl)
            if not active.any():
                break
            self._step(active)
            steps += active
        means = {name: torch.stack([report[name] for report in reports]).sum(0) / passes for name in reports[0]}
        return means | {"steps": steps}

    def _minibatch_rows(self, trajectories: Trajectories) -> Iterator[Tensor]:
        """Row numbers `(K, m)` of each minibatch, shuffled per expert, then sorted by length."""
        rows = len(trajectories.mask) // self.count
        lengths = trajectories.prompt_mask.sum(-1) + trajectories.mask.sum(-1)
        orders = [self._shuffled(rows) for _ in range(self.epochs)]  # drawn at once, whoever stops early
        for order in orders:
            for minibatch in order.to(lengths.device).tensor_split(self.minibatches, dim=1):
                yield minibatch.gather(1, lengths[minibatch].argsort(dim=1, stable=True))

    def _shuffled(self, rows: int) -> Tensor:
        orders = [torch.randperm(rows, generator=generator) for generator in self.generators]
        return torch.stack([order + number * rows for number, order in enumerate(orders)])

    def _backward(self, trajectories: Trajectories, rows: Tensor) -> Metrics:
        """Leaves the gradients of one minibatch, rows `(active experts, m)`, in the parameters, part by part."""
        self._optimizer.zero_grad(set_to_none=True)
        experts = trajectories.experts[rows.flatten()]
        tokens = sum_per_expert(trajectories.mask[rows.flatten()].sum(-1), experts, self.count).clamp(min=1)
        reports: list[Metrics] = []
        mine = rows[:, ranks.number() :: ranks.count()]  # sorted by length, so every process gets as much to do
        for part in mine.tensor_split(self.parts, dim=1):
            if part.numel():
                loss, report = self._loss(trajectories.rows(part.flatten()), tokens)
                loss.backward()  # not `manual_backward`: processes would exchange the gradients of every part
                reports.append(report)
        ranks.add_gradients(self._parameters_of(experts.unique().tolist()))
        reports = reports or [dict.fromkeys(_MEASURED, torch.zeros_like(tokens))]  # more processes than rows
        return {name: ranks.added(torch.stack([report[name] for report in reports]).sum(0)) for name in _MEASURED}

    def _loss(self, part: Trajectories, tokens: Tensor) -> tuple[Tensor, Metrics]:
        """The part's share of the loss: a sum over experts of means over their `tokens` `(K,)` in the minibatch."""
        logits, hidden = reread(self.bank, part.prompt_ids, part.prompt_mask, part.tokens, part.mask, part.experts)
        distributions = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)  # (R, T, V)
        logprobs = distributions.gather(-1, part.tokens[..., None])[..., 0]
        entropy = -(distributions.exp() * distributions).sum(-1)
        policy = policy_loss(logprobs, part.logprobs, part.advantages, self.clip)
        value = value_loss(self.values(hidden, part.experts), part.values, part.returns, self.clip)
        share = part.mask / tokens[part.experts, None]
        losses = policy + self.value_coefficient * value - self.entropy_coefficient * entropy
        measured = {
            "loss": losses,
            "step_kl": step_kl(logprobs, part.logprobs),
            "entropy": entropy,
            "value_loss": value,
            "clip_fraction": clipped(logprobs, part.logprobs, self.clip),
        }
        sums = {name: (number.detach() * share).sum(-1) for name, number in measured.items()}
        report = {name: sum_per_expert(number, part.experts, self.count) for name, number in sums.items()}
        return (share * losses).sum(), report

    def _step(self, active: Tensor) -> None:
        """Clips each active expert's gradient and moves it; the others' parameters and momenta stay as they are."""
        norms = torch.zeros_like(self.ledger.kl_coefficients)
        for number, parameters in enumerate(self.parameters_of_experts()):
            if active[number]:
                norms[number] = nn.utils.clip_grad_norm_(parameters, self.largest_norm)
            else:
                for parameter in parameters:
                    parameter.grad = None  # AdamW moves a parameter whose gradient is zero, not one without
        require_finite("gradient", norms, self.names, self._update)
        self._optimizer.step()

    def _describe(self, answers: Answers, trajectories: Trajectories) -> Metrics:
        """Means over each expert's answers."""
        measured = {
            "reward": answers.own,
            "quality": answers.quality,
            "total": answers.total,
            "kl": answers.kl,
            "length": answers.lengths,
            "ended": answers.ended.to(answers.kl.dtype),
            "held_back": self.ledger.held_back(answers),
        }
        rows = len(answers.experts) / self.count
        means = {name: sum_per_expert(number, answers.experts, self.count) / rows for name, number in measured.items()}
        tokens = trajectories.values, trajectories.returns, trajectories.mask
        return means | {
            "explained_variance": explained_variance(*tokens, trajectories.experts, self.count),
            "foreseen": self.ledger.foreseen(answers),
        }

    def _log_metrics(self, metrics: Metrics) -> None:
        """Logs `<expert>/<metric>`."""
        numbers = {metric: values.tolist() for metric, values in metrics.items()}
        named = {f"{name}/{metric}": numbers[metric][k] for metric in numbers for k, name in enumerate(self.names)}
        self.log_dict(named, on_step=True, on_epoch=False)

    @property
    def _update(self) -> int:
        """The update that runs, counted from one."""
        return self.updates_done + 1

    def parameters_of_experts(self) -> list[list[nn.Parameter]]:
        """What each expert alone trains: its adapter and its value head."""
        return [
            [*self.bank.parameters_of(name), *self.values.parameters_of(number)]
            for number, name in enumerate(self.names)
        ]

    def _parameters_of(self, experts: list[int]) -> list[nn.Parameter]:
        """What these experts train."""
        parameters = self.parameters_of_experts()
        return [parameter for number in experts for parameter in parameters[number]]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with one group per expert; its state is per parameter, and no parameter serves two experts."""
        groups = [{"params": parameters} for parameters in self.parameters_of_experts()]
        return torch.optim.AdamW(groups, lr=self.learning_rate, weight_decay=self.weight_decay)

    @property
    def _optimizer(self) -> torch.optim.Optimizer:
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)  # configure_optimizers gives one
        return optimizer  # type: ignore[return-value]  # Lightning's wrapper counts the steps

    def _decay_learning_rate(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate * (1 - self.updates_done / self.updates)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps only what is trained or adapted, and adds the random generators."""
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        kept = trained | _LEDGER
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: state[name] for name in state if name in kept}
        checkpoint["experts"], checkpoint["rewards"] = list(self.names), list(self.rewards.names)
        checkpoint["exam"] = self.exam.identity
        checkpoint["generators"] = [generator.get_state() for generator in self.generators]
        checkpoint["updates_done"] = self.updates_done

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Puts the random generators back.

        Raises:
            ValueError: if the checkpoint trained other experts, or on other prompts or by other rewards, or knows no
                prices of theirs.
        """
        if missing := sorted(_LEDGER - checkpoint["state_dict"].keys()):
            raise ValueError(f"the checkpoint must hold {missing}, got none: an earlier version wrote it, train anew")
        if checkpoint["experts"] != list(self.names):
            raise ValueError(f"the checkpoint must train {list(self.names)}, got {checkpoint['experts']}")
        if checkpoint.get("rewards", rewards := list(self.rewards.names)) != rewards:  # prices are by their places
            raise ValueError(f"the checkpoint must be of the rewards {rewards}, got {checkpoint['rewards']}")
        if checkpoint.get("exam", ours := self.exam.identity) != ours:  # the files may have changed under their names
            raise ValueError(
                "the checkpoint must be of these prompts and rewards, got one of others: prompts, what they ask for, "
                "or the file of a reward function changed; give what it was begun with, or another output"
            )
        for generator, state in zip(self.generators, checkpoint["generators"], strict=True):
            generator.set_state(state.cpu())
        self.updates_done = checkpoint["updates_done"]
