import json

import datasets
import pytest
from test_rewards import word_tokenizer

from experts.labelled_pairs import most_pairs_first, read_split, rendered, split_by_prompt
from experts.pair_tokens import tokenize_pairs

ASKED = [{"role": "user", "content": "w1"}]
PLAIN = "{% for m in messages %}{{ m.content }} {% endfor %}"
MARKED = (
    "{% for m in messages %}{% if m.role == 'assistant' %}w9 {% endif %}{{ m.content }} </s> {% endfor %}"
    "{% if add_generation_prompt %}w9 {% endif %}"
)


def test_a_conversation_is_rendered_by_the_template_and_ends_with_its_end():
    tokenizer = word_tokenizer()
    tokenizer.chat_template = MARKED
    for answer in ("w2", [{"role": "assistant", "content": "w2"}]):
        assert rendered(ASKED, answer, tokenizer) == ("w1 </s> w9 ", "w2 </s>")
    tokenizer.chat_template = PLAIN
    assert rendered(ASKED, "w2", tokenizer) == ("w1 ", "w2 </s>")
    assert rendered("w1 ", "w2", tokenizer) == ("w1 ", "w2")
    with pytest.raises(ValueError, match="a text where its prompt is one"):
        rendered("w1", ASKED, tokenizer)
    with pytest.raises(ValueError, match="one message, got 2 messages"):
        rendered(ASKED, ASKED * 2, tokenizer)


def test_pairs_of_conversations_become_tokens():
    tokenizer = word_tokenizer()
    tokenizer.chat_template = PLAIN
    pairs = datasets.Dataset.from_list([{"prompt": ASKED, "chosen": "w2", "rejected": "w3 w3"}])
    assert tokenize_pairs(pairs, tokenizer)[0] == {
        "chosen_ids": [5, 6, 2],
        "rejected_ids": [5, 7, 7, 2],
        "chosen_answer": 2,
        "rejected_answer": 3,
        "length": 4,
    }


def rows(*prompts):
    return [{"prompt": prompt, "chosen": f"c{n}", "rejected": "r"} for n, prompt in enumerate(prompts)]


def test_no_prompt_is_on_both_sides_of_the_split():
    pairs = rows(*(f"p{n % 20}" for n in range(100)))
    train, held_out = split_by_prompt(pairs)
    assert len({row["prompt"] for row in held_out}) == 2
    assert not {row["prompt"] for row in train} & {row["prompt"] for row in held_out}
    assert len(train) + len(held_out) == 100
    assert split_by_prompt(pairs) == (train, held_out)
    with pytest.raises(ValueError, match="at least 2 prompts, so that some can be held out, got 1"):
        split_by_prompt(rows("p", "p"))


def test_pairs_lie_in_a_folder_or_in_one_file(tmp_path):
    (tmp_path / "ant").mkdir()
    for part, prompts in (("train", "ab"), ("validation", "c")):
        (tmp_path / "ant" / f"{part}.jsonl").write_text("\n".join(map(json.dumps, rows(*prompts))))
    (tmp_path / "bee.jsonl").write_text("\n".join(map(json.dumps, rows(*"abcdefgh"))) + "\n")
    assert [len(part) for part in read_split(tmp_path, "ant")] == [2, 1]
    assert [len(part) for part in read_split(tmp_path, "bee")] == [7, 1]
    assert most_pairs_first(tmp_path) == ["bee", "ant"]
    with pytest.raises(ValueError, match=r"must hold cat\.jsonl or cat/train\.jsonl"):
        read_split(tmp_path, "cat")


def test_a_file_that_holds_no_pairs_is_named(tmp_path):
    (tmp_path / "ant.jsonl").write_text("\n")
    with pytest.raises(ValueError, match=r"got none in .*ant\.jsonl"):
        read_split(tmp_path, "ant")
    (tmp_path / "ant.jsonl").write_text('{"chosen": "w1", "rejected": "w2"}\n{"prompt": "w1", "chosen": "w2"}')
    with pytest.raises(ValueError, match=r"row 2 of .*ant\.jsonl must have chosen and rejected, got no \['rejected'\]"):
        read_split(tmp_path, "ant")
