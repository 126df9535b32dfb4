import json

import pytest
import torch
from test_rewards import word_tokenizer
from tiny_exam import tiny_base, tiny_classifier
from tokenizers import Tokenizer
from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from decoding.answered import Answered
from experts.text_rewards import Classifier, Dialogues, Function, TextRewards

CALLS = []


def fives(prompts, answers):
    """A reward function: how often the answer says w5, and a tenth for every word of the prompt."""
    CALLS.append((prompts, answers))
    return [
        answer.split().count("w5") + len(prompt.split()) / 10 for prompt, answer in zip(prompts, answers, strict=True)
    ]


def one_too_many(prompts, answers):
    return [1.0] * (len(answers) + 1)


def nothing_known(prompts, answers):
    return [float("nan")] * len(answers)


NOT_A_FUNCTION = 7


def asked(*texts):
    return [{"role": "user", "content": text} for text in texts]


@pytest.fixture
def dialogues():
    CALLS.clear()
    conversations = [asked("w1 w2"), asked("w1 w2", "w3"), asked("w9")]
    prompts = [torch.tensor(ids) for ids in ([5, 6], [5, 6, 7], [13])]  # word n has the id n + 4
    return Dialogues(word_tokenizer(), conversations, prompts)


IDS = torch.tensor([[0, 5, 6, 9, 9, 2], [5, 6, 7, 8, 0, 9], [13, 9, 2, 0, 0, 0]])
MASK = torch.tensor([[0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 1], [1, 1, 1, 0, 0, 0]])
TEXTS = Answered(IDS, MASK, torch.tensor([3, 2, 2]))


def test_a_text_is_taken_apart_where_its_longest_known_prompt_ends(dialogues):
    assert dialogues.split([5, 6, 9, 9, 2]) == (asked("w1 w2"), "w5 w5")
    assert dialogues.split([5, 6, 7, 9]) == (asked("w1 w2", "w3"), "w5")
    assert dialogues.split([13]) == (asked("w9"), "")
    with pytest.raises(ValueError, match="begin with a known prompt, got 'w2 w1'"):
        dialogues.split([6, 5])


def test_a_function_scores_each_answer_to_its_prompt_wherever_the_padding_is(dialogues):
    rewards = TextRewards(dialogues, {"five": Function("test_text_rewards:fives")})
    torch.testing.assert_close(rewards.score(TEXTS), torch.tensor([[2.2], [1.3], [1.1]]))
    assert CALLS == [(["w1 w2", "w1 w2\n\nw3", "w9"], ["w5 w5", "w4 w5", "w5"])]


def test_a_text_reward_is_asked_only_what_is_needed(dialogues):
    functions = {name: Function("test_text_rewards:fives") for name in ("ant", "bee", "cat")}
    needed = torch.tensor([[True, False], [False, False], [True, False]])
    scores = TextRewards(dialogues, functions).score(TEXTS, ["cat", "ant"], needed)
    torch.testing.assert_close(scores, torch.tensor([[2.2, 0.0], [0.0, 0.0], [1.1, 0.0]]))
    assert [answers for _, answers in CALLS] == [["w5 w5", "w5"]]
    with pytest.raises(ValueError, match=r"among \['ant', 'bee', 'cat'\], got \['dog'\]"):
        TextRewards(dialogues, functions).score(TEXTS, ["dog"])


@pytest.mark.parametrize("function", ["one_too_many", "nothing_known"])
def test_a_function_that_gives_other_than_one_finite_number_per_answer_is_named(dialogues, function):
    rewards = TextRewards(dialogues, {"five": Function(f"test_text_rewards:{function}")})
    with pytest.raises(ValueError, match="reward 'five' must give one finite number for each of 3 answers"):
        rewards.score(TEXTS)


def test_a_function_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"importable as package\.module:function, got no_such_module:f "):
        Function("no_such_module:f")
    with pytest.raises(ValueError, match=r"importable as package\.module:function, got test_text_rewards:f "):
        Function("test_text_rewards:f")
    with pytest.raises(ValueError, match="must be a function, got int test_text_rewards:NOT_A_FUNCTION"):
        Function("test_text_rewards:NOT_A_FUNCTION")


def test_a_function_has_another_version_once_its_file_changes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_reward.py").write_text("def score(prompts, answers):\n    return [1.0] * len(answers)\n")
    before = Function("my_reward:score").version
    assert Function("my_reward:score").version == before
    (tmp_path / "my_reward.py").write_text("def score(prompts, answers):\n    return [2.0] * len(answers)\n")
    assert Function("my_reward:score").version != before


def own_words(folder, template=None):
    """A classifier's folder whose tokenizer numbers the words backwards, unlike the policy's."""
    words = word_tokenizer().get_vocab()
    special = {word: number for word, number in words.items() if number < 4}
    tokenizer = word_tokenizer()
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    backend["model"]["vocab"] = special | {word: 43 - number for word, number in words.items() if number >= 4}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(backend)),
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="?",
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    tiny_classifier().float().save_pretrained(folder)
    return str(folder)


TEMPLATE = "{% for message in messages %}<s>{{ message.content }} </s>{% endfor %}"


@pytest.mark.parametrize(
    ("template", "texts"),
    [
        (None, ["w1 w2 w5 w5", "w1 w2 w3 w4 w5", "w9 w5"]),
        (TEMPLATE, ["<s>w1 w2 </s><s>w5 w5 </s>", "<s>w1 w2 </s><s>w3 </s><s>w4 w5 </s>", "<s>w9 </s><s>w5 </s>"]),
    ],
)
def test_a_classifier_reads_the_text_by_its_own_tokenizer_and_template(dialogues, tmp_path, template, texts):
    source = own_words(tmp_path, template)
    classifier = Classifier(source, rows_at_once=2)
    scores = TextRewards(dialogues, {"kind": classifier}).score(TEXTS)
    tokenizer, model = AutoTokenizer.from_pretrained(source), tiny_classifier().float()
    for row, text in enumerate(texts):
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        torch.testing.assert_close(scores[row, 0], model(ids).logits[0, 0], rtol=1e-5, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in classifier.parameters())
    assert not classifier.train().model.training


def test_a_model_that_is_no_trained_classifier_with_one_output_is_refused(tmp_path):
    word_tokenizer().save_pretrained(tmp_path)
    config = tiny_classifier().config
    two = LlamaConfig(**{**config.to_dict(), "num_labels": 2})
    LlamaForSequenceClassification(two).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="one output, got 2 outputs"):
        Classifier(str(tmp_path))
    base = tiny_base()
    base.config.num_labels = 1
    base.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"no weights for \['score.weight'\]"):
        Classifier(str(tmp_path))


def test_a_classifier_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"folder or hub id of a classifier, got {tmp_path}"):
        Classifier(str(tmp_path))


def test_a_text_that_is_longer_than_a_classifier_reads_is_refused(dialogues, tmp_path):
    classifier = Classifier(own_words(tmp_path))
    classifier.tokenizer.model_max_length = 4
    with pytest.raises(ValueError, match="reads at most 4 tokens, got prompt and answer of 5"):
        TextRewards(dialogues, {"kind": classifier}).score(TEXTS)
