"""The training command: what a bundle tells of how its controller was made."""

import json

import pytest

from pcm.train import made_with

SETTINGS = {
    "bundle": "build/miniature/uniform",
    "train": "build/train.jsonl",
    "validation": "build/validation.jsonl",
    "references": "build/references.safetensors",
    "against": "base",
    "rule": "logit",
    "objective": "dpo",
    "worth": "raw",
    "form": "shared",
    "behaviour": False,
    "width": 64,
    "beta": 0.004,
    "trunk": None,
    "stored": None,
}


def test_provenance_holds_words_and_numbers_but_no_path():
    told = made_with(SETTINGS)
    words = {"against": "base", "rule": "logit", "objective": "dpo", "worth": "raw", "form": "shared"}
    assert told == {**words, "behaviour": False, "width": 64, "beta": 0.004, "trunk": "base", "stored": False}


@pytest.mark.parametrize(
    ("trunk", "said"), [("/somewhere/model", "trained"), ({"model_type": "llama"}, {"model_type": "llama"})]
)
def test_of_a_path_that_changes_what_is_learned_its_kind_is_told(trunk, said):
    told = made_with({**SETTINGS, "trunk": trunk, "stored": "build/pairs"})
    assert (told["trunk"], told["stored"]) == (said, True)
    assert "/" not in json.dumps(told)
