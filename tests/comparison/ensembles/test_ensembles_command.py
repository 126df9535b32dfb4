"""The whole command, on a base that talks nonsense: it must not stumble, and what is done is not done again."""

import json
import random
from pathlib import Path

import pytest
import torch
from tiny_bundle import tiny_base, tiny_tokenizer

import comparison.ensembles.__main__ as command
import comparison.ensembles.answers as answers
import comparison.ensembles.training as training
from experts.bank import AdapterConfig, ExpertBank
from experts.exam import Answers
from experts.miniature.corpus import Prompt
from experts.rollout import reread, token_logprobs

SHORT = [Prompt([{"role": "user", "content": text}], "the rain") for text in ("What?", "Rain?", "Why?", "Say.")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base, pairs and prompts."""
    world = tmp_path_factory.mktemp("world")
    tokenizer = tiny_tokenizer(world / "base")
    tiny_base(tokenizer).save_pretrained(world / "base")
    tokenizer.save_pretrained(world / "base")
    rows = [{"messages": one.messages} for one in SHORT]
    (world / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["thank", "you", "friend", "volcano", "mountain", "warm", "kind", "short"]
    rng = random.Random(0)
    for name in ("friendly", "quality"):
        for split, count in (("train", 40), ("validation", 10)):
            pairs = [{k: " " + " ".join(rng.sample(words, 3)) for k in ("chosen", "rejected")} for _ in range(count)]
            path = world / "pairs" / name / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(json.dumps({"prompt": "<s><|user|> What?<|assistant|>"} | row) for row in pairs))
    return world


def arguments(world: Path, output: Path) -> list[str]:
    places = ["--base", str(world / "base"), "--pairs", str(world / "pairs"), "--output", str(output)]
    return [*places, "--prompts", str(world / "prompts.jsonl"), "--dimensions", '["friendly"]', "--quick"]


def test_few_pairs_are_drawn_anew_for_each_seed(world: Path, tmp_path: Path):
    for place, seed in (("one", 0), ("again", 0), ("other", 1)):
        training.few_pairs(world / "pairs", tmp_path / place, "friendly", (12, 5), seed)
    texts = {place: (tmp_path / place / "friendly" / "train.jsonl").read_text() for place in ("one", "again", "other")}
    assert texts["one"] == texts["again"] != texts["other"]
    rows = [json.loads(line) for line in texts["one"].splitlines()]
    known = [json.loads(line) for line in (world / "pairs" / "friendly" / "train.jsonl").read_text().splitlines()]
    assert len(rows) == len({json.dumps(row) for row in rows if row in known}) == 12
    with pytest.raises(ValueError, match=r"1 to 10 pairs of validation about friendly in .*, got 11"):
        training.few_pairs(world / "pairs", tmp_path, "friendly", (12, 11), 0)


def test_nats_are_the_divergence_before_every_token_that_was_said(world: Path):
    base = tiny_base(tiny_tokenizer(world / "again")).double()
    bank = ExpertBank(base)
    for name in ("still", "moved"):
        bank.add(name, AdapterConfig(2, 2.0, ("q_proj",)), generator=torch.Generator().manual_seed(1))
    for parameter in bank.parameters_of("moved"):
        torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(2))
    ids, lengths, experts = (
        torch.randint(3, 300, (6, 9)),
        torch.tensor([5, 2, 4, 5, 1, 3]),
        torch.tensor([0] * 3 + [1] * 3),
    )
    mask = (torch.arange(5) < lengths[:, None]).double()
    given = {"prompt_ids": ids[:, :4], "prompt_mask": torch.ones(6, 4).long(), "tokens": ids[:, 4:], "mask": mask}
    told = Answers(**dict.fromkeys(Answers._fields) | given | {"experts": experts})
    found = answers.nats(bank, told, rows_at_once=2)
    assert found[:3].tolist() == pytest.approx([0.0] * 3, abs=1e-12)
    everything = torch.arange(bank.base.config.vocab_size)
    for row in (3, 4, 5):
        one = [part[row : row + 1] for part in given.values()]
        ours, theirs = (
            torch.stack([token_logprobs(reread(bank, *one, torch.tensor([k]))[0], e.expand(1, 5)) for e in everything])
            for k in (1, -1)
        )
        naive = (ours.exp() * (ours - theirs)).sum(0)[0, : lengths[row]].sum().item()
        assert found[row].item() == pytest.approx(naive, rel=1e-6)
        assert naive > 0.01


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_arm_is_trained_measured_and_told_and_nothing_twice(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(command.corpus, "prompts", lambda split: SHORT)
    assert command.main(arguments(world, tmp_path)) == 0
    assert "After the last update" in " ".join(capsys.readouterr().out.split())
    made = tmp_path / "quick"
    first = {name: (made / name).read_bytes() for name in ("report.json", "report.md", "over-optimisation.png")}
    report = json.loads(first["report.json"])
    assert list(report["dimensions"]["friendly"]) == ["single", "mean", "lower-bound"]
    (run,) = (made / "runs").glob("*/seed-0")
    rows = [json.loads(line) for line in (run / "answers-4" / "0.jsonl").read_text().splitlines()]
    assert len(rows) == 12
    assert max(abs(row["nats"]) for row in rows) < 1e-4  # at the start every expert is the base
    assert len({row["answer"] for row in rows if row["question"] == 0}) == 1  # and draws the same
    rates = [line.split(",") for path in run.glob("experts/logs/*/metrics.csv") for line in path.read_text().split()]
    price = rates[0].index("friendly-single/kl_coefficient")
    assert [float(line[price]) for line in rates[1:]] == [0.0, 0.0]
    (run / "answers-4" / "2.jsonl").unlink()  # answered again, by what was trained before
    for name in ("_train_side_by_side", "JointPPO"):
        module = "experts.reward_training" if name.startswith("_") else "experts.train"
        monkeypatch.setattr(f"{module}.{name}", None)
    assert command.main(arguments(world, tmp_path)) == 0
    assert {name: (made / name).read_bytes() for name in first} == first


def test_missing_pairs_are_one_line(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command.main([*arguments(world, tmp_path), "--dimensions", '["concise"]']) == 1
    told = capsys.readouterr().err.strip()
    assert "must hold concise.jsonl or concise/train.jsonl" in told
    assert told.count("\n") == 0
    assert command.main([*arguments(world, tmp_path), "--members", "1"]) == 1
    assert "at least 2 members" in capsys.readouterr().err


def test_settings_that_leave_the_end_unmeasured_are_refused(world: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="multiple of snapshot_every, got 25 and 10"):
        command.ensembles(world / "base", world / "pairs", world / "prompts.jsonl", tmp_path, updates=25)
