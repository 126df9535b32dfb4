"""The gate spares experts, and changes nothing where it does not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_bundle import tiny_mixture
from torch import Tensor

from bundle import read_manifest
from causal_lm import MixtureForCausalLM
from decoding.sampling import Sampling
from decoding.step import Rollout
from experts.rows import Rows
from mixture import Mixture
from pcm.gate.__main__ import main, train_gate
from pcm.gate.fitting import Answer, fit
from pcm.gate.head import LONGEST, Gate, require_budget, spread
from pcm.preference import Preference

CONVERSATIONS = [[{"role": "user", "content": text}] for text in ("What is a volcano?", "mountain", "be kind")]
ASKED = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.3, 0.0, 1.0]])


class Told(Gate):
    """Opens as it is told, a row for each request and a column for each step after the first."""

    def __init__(self, opens: Tensor) -> None:
        super().__init__(32)
        self.told, self.steps = opens, 0

    def forward(self, hidden: Tensor, spread: Tensor, divergence: Tensor, age: Tensor) -> Tensor:
        self.steps += 1
        return self.told[:, self.steps - 2].double() if self.steps > 1 else torch.zeros(len(self.told))

    def threshold(self, budget: float) -> float:
        return 0.5


def answered(mixture: Mixture, opens: Tensor | None, rows: slice = slice(None)) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (B, n), log-probabilities (B, n, V) and log-weights (B, n, K) of drawn answers, with prompts."""
    mixture.gate = None if opens is None else Told(opens[rows])
    mixture.budget = 1.0 if opens is None else 0.5
    ids, mask = mixture.encode(CONVERSATIONS[rows])
    generators = [torch.Generator().manual_seed(7 + place) for place in range(3)[rows]]
    turns = list(mixture.emit(ids, mask, ASKED[rows], Sampling(1.0, max_new_tokens=8), generators))
    columns = zip(*((turn.tokens, turn.step.logprobs, turn.step.log_weights) for turn in turns), strict=True)
    tokens, logprobs, weights = (torch.stack(column, dim=1) for column in columns)
    return tokens, logprobs, weights


def test_a_gate_that_is_always_open_answers_like_the_mixture(mixture: Mixture):
    for one, other in zip(answered(mixture, torch.ones(3, 8)), answered(mixture, None), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("prefill_tokens", [16384, 16, 1])
def test_what_is_mixed_after_a_gap_is_what_the_mixture_says_there_and_the_base_speaks_in_between(
    mixture: Mixture, prefill_tokens: int
):
    """The experts catch up, in one pass or a few, and every step is as if they had read all along."""
    mixture.prefill_tokens = prefill_tokens
    opens = torch.tensor([[0, 0, 1, 0, 1, 1, 0], [0, 1, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1]])
    tokens, logprobs, weights = answered(mixture, opens)
    ids, mask = mixture.encode(CONVERSATIONS)
    whole = torch.cat([ids, tokens], dim=1)
    reading = mixture.bank.read(whole, torch.cat([mask, torch.ones_like(tokens)], dim=1), Rows.of(ASKED))
    said = slice(ids.shape[1] - 1, -1)
    mixed, told = (one[:, said] for one in mixture.mix(reading, ASKED))
    base = reading.base[:, said].log_softmax(-1)
    spoken = torch.cat([torch.ones(3, 1, dtype=torch.bool), opens.bool()], dim=1)
    assert not torch.allclose(mixed, base)
    torch.testing.assert_close(logprobs, torch.where(spoken.unsqueeze(-1), mixed, base))
    torch.testing.assert_close(weights, torch.where(spoken.unsqueeze(-1), told, -torch.inf))


def test_a_request_is_spared_the_same_alone_and_beside_others(mixture: Mixture):
    opens = torch.tensor([[0, 0, 1, 0, 1, 1, 0], [0, 1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0, 1]])
    together = answered(mixture, opens)
    for row in range(3):
        alone = answered(mixture, opens, slice(row, row + 1))
        for one, many in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], many[row])


def test_experts_read_nothing_while_the_gate_is_closed(mixture: Mixture):
    read: list[tuple[int, int]] = []
    plain = mixture.bank.read

    def watched(input_ids, attention_mask, rows, cache=None, logits_to_keep=0):  # type: ignore[no-untyped-def]
        read.append((len(rows.pairs), input_ids.shape[1]))
        return plain(input_ids, attention_mask, rows, cache, logits_to_keep=logits_to_keep)

    mixture.bank.read = watched  # type: ignore[method-assign]
    answered(mixture, torch.tensor([[0, 0, 0, 1, 0, 0, 0]] * 3), slice(0, 1))
    del mixture.bank.read
    prompt = read[0][1]
    assert read == [(1, prompt), (3, prompt), *[(1, 1)] * 4, (3, 4), *[(1, 1)] * 3]


class ByState(Gate):
    """Opens at states that nothing but the request's own text decides."""

    def forward(self, hidden: Tensor, spread: Tensor, divergence: Tensor, age: Tensor) -> Tensor:
        return (hidden.sum(-1) * 1e3).frac().abs() + 0.1 * divergence.sigmoid() + 0.01 * age

    def threshold(self, budget: float) -> float:
        return 0.6


def test_a_rollout_whose_requests_leave_early_is_spared_the_same(mixture: Mixture):
    """Whoever stays keeps its own base cache, its own unread tokens and its own last divergence."""
    mixture.gate, mixture.budget = ByState(32), 0.5
    ids, mask = mixture.encode(CONVERSATIONS)
    samplings = [Sampling(1.0, max_new_tokens=length) for length in (30, 5, 20)]

    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in range(3)]

    whole = Rollout.of(turn.written for turn in mixture.emit(ids, mask, ASKED, samplings, generators()))
    staged = mixture.rollout(ids, mask, ASKED, samplings, generators())
    assert torch.equal(staged.tokens, whole.tokens)
    torch.testing.assert_close(staged.logprobs, whole.logprobs)


def test_an_old_step_is_as_old_as_the_oldest_that_the_gate_knows():
    gate = Gate(4)
    base, hidden = torch.randn(2, 6).log_softmax(-1), torch.randn(1, 4).expand(2, -1)
    seen: list[Tensor] = []
    gate.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[3]))
    gate.opens(base, hidden, torch.zeros(2), torch.tensor([3.0, 100.0]), 0.5)
    assert seen[0].tolist() == [3.0, LONGEST]


def examples(count: int, seed: int) -> list[Answer]:
    """Answers whose divergence can be told from the first number of the state."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        hidden = torch.randn(12, 24, generator=generator)
        found.append(Answer(hidden, torch.zeros(12, 2), (hidden[:, 0].clamp(min=0) * 2).expm1()))
    return found


def test_a_gate_foresees_what_can_be_told_and_keeps_its_budget():
    gate, foreseen = fit(examples(150, 0), examples(40, 1), rounds=200, seed=0)
    assert foreseen > 0.8
    new = examples(40, 2)
    hidden = torch.cat([one.hidden for one in new])
    last = torch.zeros(len(hidden))
    with torch.no_grad():
        said = gate(hidden, torch.zeros(len(hidden), 2), last, last + 1)
    for budget in (0.1, 0.3, 0.8):
        assert float((said > gate.threshold(budget)).float().mean()) == pytest.approx(budget, abs=0.06)
    matters = torch.cat([one.divergence for one in new])
    opened = said > gate.threshold(0.3)
    assert matters[opened].mean() > 5 * matters[~opened].mean()


def test_the_last_divergence_is_that_of_the_token_so_long_ago():
    answer = Answer(torch.zeros(6, 3), torch.zeros(6, 2), torch.arange(6.0))
    _, _, last, ages, wanted = answer.seen(torch.Generator().manual_seed(0))
    assert torch.equal(last + ages, torch.arange(1.0, 6.0))
    assert bool((ages >= 1).all())
    torch.testing.assert_close(wanted, torch.arange(1.0, 6.0).log1p())


def test_a_spread_is_entropy_and_the_likeliest():
    logprobs = torch.tensor([0.5, 0.25, 0.25]).log()
    torch.testing.assert_close(spread(logprobs), torch.tensor([1.5, -1.0]) * torch.tensor(2.0).log())


def test_budgets_that_cannot_be_kept_are_refused():
    require_budget(1.0, None)
    with pytest.raises(ValueError, match=r"share of tokens in \(0, 1\], got 0"):
        require_budget(0.0, Gate(4))
    with pytest.raises(ValueError, match="needs a bundle with a gate"):
        require_budget(0.3, None)


def test_a_response_counts_no_weight_where_the_base_spoke_alone(mixture: Mixture):
    mixture.gate, mixture.budget = Told(torch.tensor([[0, 0, 1, 0]])), 0.5
    wish = [Preference(weights={"friendly": 1.0, "concise": 0.5})]
    said = mixture.generate(CONVERSATIONS[:1], wish, Sampling(0.0, max_new_tokens=5), [0])[0]
    weights = [token.weights for token in said.tokens]
    assert [sorted(one) for one in weights] == [["concise", "friendly"], [], [], ["concise", "friendly"], []]
    assert said.mean_weights()["friendly"] == pytest.approx((weights[0]["friendly"] + weights[3]["friendly"]) / 5)


def test_beams_and_labels_need_every_token_mixed(mixture: Mixture):
    mixture.gate, mixture.budget = Gate(32), 0.5
    with pytest.raises(ValueError, match=r"mixes every token, got a budget of 0\.5"):
        MixtureForCausalLM(mixture, None)


def test_where_an_expert_is_safe_the_base_may_not_speak_alone(mixture: Mixture):
    with pytest.raises(ValueError, match=f"a cap from the expert {mixture.names[0]} needs budget 1"):
        replace(mixture, cap=0.1, safe=mixture.names[0], gate=Gate(32), budget=0.5)


def test_a_bundle_keeps_its_gate(tmp_path: Path):
    mixture = tiny_mixture(tmp_path / "tokenizer")
    mixture.gate = Gate(32)
    mixture.gate.quantiles.copy_(torch.linspace(0, 3, 101))
    mixture.save(tmp_path / "bundle", {})
    kept = Mixture.load(tmp_path / "bundle", budget=0.25)
    assert kept.gate is not None
    assert kept.gate.threshold(kept.budget) == pytest.approx(2.25)
    for name, value in mixture.gate.state_dict().items():
        assert torch.equal(kept.gate.state_dict()[name], value)


def test_without_its_controller_a_mixture_has_no_gate_either_and_its_bundle_can_be_read(tmp_path: Path):
    mixture = tiny_mixture(tmp_path)
    mixture.gate, mixture.budget = Gate(32), 0.5
    assert (mixture.uniform().gate, mixture.uniform().budget) == (None, 1.0)
    mixture.uniform().save(tmp_path / "uniform", {})
    assert Mixture.load(tmp_path / "uniform").pcm is None


def test_a_gate_of_the_uniform_mixture_is_kept_without_any_controller(tmp_path: Path):
    """A bundle that `python -m pcm.gate` could write and nobody could read."""
    mixture = tiny_mixture(tmp_path)
    mixture.pcm, mixture.gate = None, Gate(32)
    mixture.save(tmp_path / "uniform", {})
    kept = Mixture.load(tmp_path / "uniform", budget=0.5)
    assert kept.pcm is None
    assert kept.gate is not None


@pytest.mark.parametrize("counts", [(0, 4), (4, 0)])
def test_a_gate_is_fitted_to_answers(tmp_path: Path, counts: tuple[int, int]):
    with pytest.raises(ValueError, match="answers and validation_answers must be at least 1, got"):
        train_gate(tmp_path, tmp_path, tmp_path, answers=counts[0], validation_answers=counts[1])


def test_the_command_gives_a_bundle_a_gate_and_keeps_the_rest(tiny_bundle: Path, tmp_path: Path):
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    (bundle / "questions.jsonl").write_text("{}\n")
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"messages": one}) + "\n" for one in CONVERSATIONS))
    prompts = tmp_path / "prompts.jsonl"
    train_gate(bundle, prompts, prompts, answers=6, validation_answers=4, rounds=3, max_new_tokens=6)
    kept = Mixture.load(bundle, budget=0.5)
    assert kept.gate is not None
    assert (kept.gate.quantiles.diff() >= 0).all()
    assert read_manifest(bundle).provenance["gate"] == {"answers": 6, "rounds": 3, "seed": 0}
    assert (bundle / "questions.jsonl").read_text() == "{}\n"
    kept.budget = 1.0
    asked = CONVERSATIONS, [None] * 3, Sampling(0.0, max_new_tokens=4), [0] * 3
    before, after = (one.generate(*asked) for one in (Mixture.load(tiny_bundle), kept))
    assert [one.text for one in after] == [one.text for one in before]


def test_a_missing_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--bundle", str(tmp_path / "nowhere"), "--prompts", "none", "--validation", "none"]) == 1
    told = capsys.readouterr().err
    assert str(tmp_path / "nowhere") in told
    assert told.count("\n") == 1
