"""docs/controller.md: one configuration over a base, adapters and judges of one's own, exactly as the page says."""

import json
import re
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model
from tiny_bundle import tiny_base, tiny_tokenizer
from transformers import LlamaConfig, LlamaForSequenceClassification

import decode
from bundle import read_manifest
from decoding.dimension import Dimension
from decoding.rules import uniform_log_weights
from decoding.sampling import Sampling
from experts.reward_sources import chosen_sources
from mixture import Mixture
from pcm.own import Own
from pcm.preference import Preference
from pcm.run import checkpoints_in
from pcm.train import main, sources_of

PAGE = (Path(__file__).parents[2] / "docs" / "controller.md").read_text("utf-8")
SECTION = PAGE.split("## Over your own experts\n")[1].split("\n## ")[0]
(CONFIG,), (FUNCTIONS,), (COMMANDS,) = (
    re.findall(rf"^```{kind}\n(.*?)^```", SECTION, flags=re.DOTALL | re.MULTILINE) for kind in ("yaml", "python", "sh")
)
NAMES = ["warm", "brief", "lively"]
QUESTION = [{"role": "user", "content": "What is a volcano?"}]
SMALL = [
    "--model.max_new_tokens=6",
    "--model.learning_rate=0.1",
    "--data.pairs=3",
    "--data.iterations=2",
    "--data.validation_pairs=2",
    "--trainer.max_epochs=1",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]


def tiny_classifier(words: int) -> LlamaForSequenceClassification:
    """One output, of random weights."""
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=words,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_labels=1,
        initializer_range=0.5,
    )
    return LlamaForSequenceClassification(config)


def a_users_folder(folder: Path) -> Path:
    """Everything that the page's configuration names."""
    tokenizer = tiny_tokenizer(folder / "tokenizer")
    tiny_base(tokenizer).save_pretrained(folder / "models" / "base")
    tokenizer.save_pretrained(folder / "models" / "base")
    for seed, name in enumerate(NAMES):
        torch.manual_seed(seed)
        model = get_peft_model(tiny_base(tokenizer), LoraConfig(r=2, lora_alpha=4, target_modules=["v_proj"]))
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(parameter)
        model.save_pretrained(folder / "adapters" / name)
    tiny_classifier(len(tokenizer)).save_pretrained(folder / "models" / "warmth")
    tokenizer.save_pretrained(folder / "models" / "warmth")
    for name, texts in {
        "train": ("What is it?", "Rain?", "be </s> kind"),
        "validation": ("A volcano?", "Snow?"),
    }.items():
        rows = [json.dumps({"messages": [{"role": "user", "content": text}]}) + "\n" for text in texts]
        (folder / f"{name}.jsonl").write_text("".join(rows))
    (folder / "my_rewards.py").write_text(FUNCTIONS)
    (folder / "own.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after the page's first command."""
    folder = a_users_folder(tmp_path_factory.mktemp("own"))
    command = COMMANDS.splitlines()[0].split()
    assert command[:3] == ["python", "-m", "pcm.train"]
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(action="ignore"):
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        main([*command[3:], *SMALL])
    return folder


def test_one_configuration_makes_a_bundle_that_answers(trained: Path, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    words = COMMANDS.splitlines()[1].split('"')
    assert words[0] == "python decode.py "
    assert decode.main([words[1], *words[2].split(), "--json", "--max-new-tokens", "4"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["text"]
    mixture = Mixture.load("my-bundle")
    assert mixture.dimensions[:2] == (
        Dimension("warm", "The answer is warm."),
        Dimension("brief", "The answer is as short as it can be."),
    )
    with pytest.raises(ValueError, match="this bundle has none: give numeric weights instead"):
        mixture.asked(Preference(text="be warm"))


def test_its_weights_are_no_longer_those_of_the_uniform_mixture(trained: Path):
    mixture = Mixture.load(trained / "my-bundle")
    asked = torch.tensor([[1.0, 0.5, 0.0]])
    reading = mixture.read(*mixture.encode([QUESTION]), asked)
    with torch.no_grad():
        log_weights = mixture.mix(reading, asked)[1]
        uniform = mixture.uniform().mix(reading, asked)[1]
    torch.testing.assert_close(uniform[0, -1], uniform_log_weights(asked)[0])
    assert float((log_weights - uniform)[..., :2].abs().max()) > 0.01
    assert bool((log_weights[..., 2] == -torch.inf).all())
    asked_for = [Preference(weights={name: 1.0}) for name in NAMES]
    answers = mixture.generate([QUESTION] * 3, asked_for, Sampling(0.0, max_new_tokens=6), [0] * 3)
    assert all(answer.text for answer in answers)


def test_checkpoints_and_curves_lie_beside_the_bundle_and_its_provenance_names_no_place(trained: Path):
    folder = trained / "my-bundle-training"
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert list(folder.glob("csv/*/metrics.csv"))
    assert list(folder.glob("tensorboard/*/events.*"))
    assert not (trained / "my-bundle" / "rewards").exists()  # none of these judges is a reward model of ours
    told = read_manifest(trained / "my-bundle").provenance["pcm"]
    assert told["rewards"] == {"warm": "classifier", "brief": "function", "lively": "function"}
    assert not [value for value in json.dumps(told).split('"') if "/" in value or "my_rewards" in value]


def test_curves_and_checkpoints_lie_where_the_trainer_is_told():
    assert checkpoints_in("build/miniature/pcm", "build/controlled") == "build/miniature/pcm/checkpoints"
    assert checkpoints_in(None, "build/controlled") == "build/controlled-training/checkpoints"


def test_an_interrupted_run_goes_on_from_the_checkpoint_that_every_run_keeps(trained: Path, monkeypatch):
    monkeypatch.chdir(trained)
    monkeypatch.syspath_prepend(trained)
    first = Mixture.load("my-bundle").pcm
    assert first is not None
    more = [*SMALL, "--trainer.max_epochs=2", "--ckpt_path", "my-bundle-training/checkpoints/last.ckpt"]
    with warnings.catch_warnings(action="ignore"):
        went_on = main(["fit", "--config", "own.yaml", *more, "--output", "further"])
    assert went_on.trainer.global_step == 2 * 2 * 4 * 3  # epochs, iterations, passes, minibatches
    assert went_on.trainer.current_epoch == 2


def test_an_opposite_is_said_once():
    own = Own("base", {"brief": "a", "long": "b", "warm": "c"}, opposites={"brief": "long"})
    assert [dimension.opposite for dimension in own.dimensions] == ["long", "brief", None]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"experts": {}}, "at least one expert, got none"),
        ({"opposites": {"warm": "cold"}}, "must be of warm, brief, got cold"),
        ({"descriptions": {"wram": "The answer is kind."}}, "must be of warm, brief, got wram"),
    ],
)
def test_words_about_experts_that_are_not_there_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Own(**{"base": "base", "experts": {"warm": "a", "brief": "b"}, **given})


def test_a_pole_has_one_opposite():
    with pytest.raises(ValueError, match="'long' must have one opposite, got 'brief' and 'warm'"):
        _ = Own("b", {"brief": "a", "long": "b", "warm": "c"}, opposites={"brief": "long", "warm": "long"}).dimensions


def test_judges_that_are_named_stand_in_for_those_of_a_bundle(tiny_bundle: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("bundle.locate", lambda name: tmp_path)
    for name in ("warm", "brief", "quality", "other"):
        (tmp_path / "rewards" / name).mkdir(parents=True)
        (tmp_path / "rewards" / name / "adapter_config.json").write_text("{}")
    own = {name: str(tmp_path / "rewards" / name) for name in ("brief", "warm", "quality")}
    assert list(sources_of("a/bundle", None, ["brief", "warm"]).items()) == list(own.items())
    assert sources_of("a/bundle", {"quality": "my:judge"}, ["brief", "warm"]) == {**own, "quality": "my:judge"}
    assert sources_of(None, tmp_path / "rewards", ["brief", "warm"]) == own
    assert list(sources_of(None, {"warm": "my:warmth", "brief": "my:brevity"}, ["brief", "warm"])) == ["brief", "warm"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"warm": "my:warmth"}, "each of warm, brief must have a reward, got none for brief"),
        (None, "each of warm, brief must have a reward, got none for warm, brief"),
        ({"warm": "a:b", "brief": "a:c", "qualty": "a:d"}, "must be of warm, brief, quality, got one of qualty"),
    ],
)
def test_a_dimension_without_a_judge_and_a_judge_of_nothing_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        sources_of(None, given, ["warm", "brief"])


def test_texts_that_ask_for_things_teach_a_reader(tmp_path: Path, monkeypatch):
    folder = a_users_folder(tmp_path)
    said = {"warm": "be kind", "brief": "keep it short", "lively": "a volcano opens"}
    rows = [{"text": text, "asked": {name: 1.0}} for name, text in said.items()]
    (folder / "texts").mkdir()
    for split in ("train", "validation"):
        (folder / "texts" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 4))
    config = yaml.safe_load(CONFIG)
    config["model"]["bundle"]["preferences"] = "texts"
    (folder / "own.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr("pcm.reader.training.read_reader.__kwdefaults__", {"embeddings": None, "seed": 0, "steps": 60})
    with warnings.catch_warnings(action="ignore"):
        main(["fit", "--config", "own.yaml", *SMALL, "--data.iterations=1"])
    mixture = Mixture.load(folder / "my-bundle")
    assert mixture.reader is not None
    heard = [mixture.names[int(mixture.asked(Preference(text=text)).argmax())] for text in said.values()]
    assert heard == list(said)


def test_the_short_configuration_of_the_readme_parses(tmp_path: Path, capsys):
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (block,) = re.findall(r"^```yaml\n(output: my-bundle\n.*?)^```", readme, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "own.yaml").write_text(block)
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--config", str(tmp_path / "own.yaml"), "--print_config"])
    assert not ended.value.code
    printed = yaml.safe_load(capsys.readouterr().out)
    assert list(printed["model"]["bundle"]["experts"]) == list(printed["model"]["rewards"]) == ["warm", "brief"]
    assert printed["trainer"]["use_distributed_sampler"] is False


@pytest.mark.parametrize("name", ["quality", "very warm", "a/b"])
def test_a_name_that_no_bundle_holds_is_refused_before_anything_is_trained(name: str):
    with pytest.raises(ValueError, match="an expert's name must be"):
        Own("base", {name: "adapter"})


def test_a_folder_without_reward_models_is_no_reason_to_take_the_bundle_s_own(tmp_path: Path):
    (tmp_path / "kept" / "warm").mkdir(parents=True)
    (tmp_path / "kept" / "warm" / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="must hold a reward model of warm"):
        chosen_sources(tmp_path / "typo", tmp_path / "kept", ["warm"])
    assert chosen_sources(None, tmp_path / "kept", ["warm"]) == {"warm": str(tmp_path / "kept" / "warm")}
