"""The tokenizer: nothing a person types is lost on the way to ids and back."""

from itertools import islice

import pytest

from experts.miniature.corpus import dialogues
from experts.miniature.packing import IGNORED
from experts.miniature.pretrain import training_rows
from experts.miniature.tokenizer import ROLES, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    texts = [message["content"] for dialogue in islice(dialogues(), 300) for message in dialogue]
    return train_tokenizer(texts, tmp_path_factory.mktemp("tokenizer"), vocab_size=600)


@pytest.mark.parametrize(
    "text", ["What is a volcano?", "SHORT, please!", "Déjà vu, naïve Zürich", "🌋 lava 日本", "a  b"]
)
def test_text_survives_the_round_trip(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True).strip() == text


def test_each_role_is_one_token(tokenizer):
    assert all(len(tokenizer(role)["input_ids"]) == 1 for role in ROLES)


def test_the_chat_template_opens_the_answer_where_the_training_text_has_it(tokenizer):
    question, answer = {"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "It is a sun."}
    whole = tokenizer.apply_chat_template([question, answer], return_dict=True)["input_ids"]
    opened = tokenizer.apply_chat_template([question], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert whole[: len(opened)] == opened
    assert whole[-1] == tokenizer.eos_token_id


def test_only_the_answers_of_a_training_row_are_labelled(tokenizer):
    (row,) = training_rows(tokenizer, 1, seed=0)
    spoken = tokenizer.decode([label for label in row["labels"] if label != IGNORED], skip_special_tokens=True).split()
    answers = " ".join(m["content"] for d in islice(dialogues(), 20) for m in d if m["role"] == "assistant").split()
    assert len(spoken) > 20
    assert spoken == answers[: len(spoken)]
