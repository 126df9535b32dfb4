"""Who judges a comparison: the bundle's own reward models draw what they measure against once."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification

from comparison.cases import Case, bundle_case
from comparison.roles import roles, scorer_named
from experts.miniature.corpus import Prompt
from mixture import Mixture

PROMPTS = [Prompt([{"role": "user", "content": text}], "") for text in ("What is it?", "A volcano?")]


@pytest.fixture
def case(tiny_bundle: Path, tmp_path: Path) -> Case:
    """Two questions to a bundle that has a reward model for each dimension and one for quality."""
    mixture = Mixture.load(tiny_bundle)
    for seed, name in enumerate([*mixture.names, "quality"]):
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(tiny_bundle / "base", num_labels=1)
        adapted = get_peft_model(model, LoraConfig(task_type=TaskType.SEQ_CLS, r=1, target_modules=["v_proj"]))
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter)
        adapted.save_pretrained(tmp_path / "rewards" / name)
    mixture.save(tmp_path / "bundle", {}, rewards=tmp_path / "rewards")
    return replace(bundle_case(str(tmp_path / "bundle")), prompts=PROMPTS, validation=[], demonstrations=[])


@pytest.mark.parametrize(
    ("wanted", "judging", "choosing"),
    [
        (["classifier:A", "classifier:B"], "classifier:A", "classifier:B"),
        (["classifier:A"], "classifier:A", "classifier:A"),
        (["learned", "gold"], "learned", "learned"),
        (["gold", "classifier:A"], "gold", "classifier:A"),
        (["gold"], "gold", "learned"),
    ],
)
def test_the_first_scorer_judges_and_the_second_chooses_unless_it_is_gold(
    case: Case, wanted: list[str], judging: str, choosing: str
):
    assert roles(case, wanted) == (judging, choosing)


def test_answers_behind_learned_scores_are_drawn_once_for_the_same_questions(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = scorer_named("learned", case, tmp_path, 4).score([PROMPTS[1]], ["be warm"])
    assert 0 < float(first.dimensions["friendly"][0]) < 1
    monkeypatch.setattr("experts.references.sample_by_length", None)  # without it nothing is drawn
    again = scorer_named("learned", case, tmp_path, 4).score([PROMPTS[1]], ["be warm"])
    assert {name: values.tolist() for name, values in again.dimensions.items()} == {
        name: values.tolist() for name, values in first.dimensions.items()
    }
    for other, tokens in ((case, 5), (replace(case, prompts=PROMPTS[1:]), 4)):
        with pytest.raises(TypeError):
            scorer_named("learned", other, tmp_path, tokens)
