import json
import shutil
from pathlib import Path

import datasets
import pytest
import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_exam import PAD, tiny_base, tiny_classifier
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from decoding.answered import Answered
from experts import reward_learning
from experts.labelled_pairs import most_pairs_first
from experts.pair_tokens import AnswerCollator, tokenize_pairs, tokenizer_of
from experts.reward_learning import _arguments, _evidence_classifier, train_reward
from experts.reward_training import command_parser, train_rewards
from experts.reward_worth import calibration_error
from experts.rewards import RewardModels

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated")  # inside TRL and PEFT
CONFIGS = Path(__file__).parents[2] / "configs"
TARGETS = {"ant": ["q_proj", "down_proj"], "quality": "all-linear", "bee": ["v_proj"]}


def as_trl_leaves_it(name, rank):
    """A sequence-classification adapter whose factors and head all differ from a fresh one."""
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=rank, lora_alpha=6, target_modules=TARGETS[name])
    model = get_peft_model(tiny_classifier(), config, autocast_adapter_dtype=False)
    generator = torch.Generator().manual_seed(rank)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return model.eval()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Reward models as PEFT runs them, and the folder they were saved in."""
    folder = tmp_path_factory.mktemp("rewards")
    peft_models = {name: as_trl_leaves_it(name, rank) for rank, name in enumerate(TARGETS, start=2)}
    for name, model in peft_models.items():
        model.save_pretrained(folder / name)
    return peft_models, folder


@pytest.fixture
def rewards(trained):
    return RewardModels.load(trained[1], tiny_classifier())


@pytest.fixture(scope="module")
def texts():
    ids = torch.randint(3, 40, (5, 9), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(9)[None] < torch.tensor([9, 4, 7, 1, 8])[:, None]).long()
    return Answered(torch.where(mask.bool(), ids, PAD), mask, torch.tensor([4, 2, 3, 0, 7]))


def test_scores_are_those_of_the_classifiers_that_were_trained(trained, rewards, texts):
    assert rewards.names == ("ant", "bee", "quality")
    scores = rewards.score(texts)
    for column, name in enumerate(rewards.names):
        expected = trained[0][name](input_ids=texts.input_ids, attention_mask=texts.attention_mask).logits[:, 0]
        torch.testing.assert_close(scores[:, column], expected)
    assert scores.std(dim=0).min() > 1e-3


def test_saved_reward_models_are_ordinary_classifiers_again(rewards, texts, tmp_path):
    rewards.save(tmp_path)
    again = RewardModels.load(tmp_path, tiny_classifier())
    assert torch.equal(again.score(texts), rewards.score(texts))
    for column, name in enumerate(rewards.names):
        model = PeftModel.from_pretrained(tiny_classifier(), tmp_path / name, autocast_adapter_dtype=False).eval()
        expected = model(input_ids=texts.input_ids, attention_mask=texts.attention_mask).logits[:, 0]
        torch.testing.assert_close(rewards.score(texts)[:, column], expected)


def test_a_score_does_not_depend_on_where_the_padding_is(rewards, texts):
    ids, mask, answers = texts
    shifted_ids, shifted_mask = torch.full((5, 18), PAD), torch.zeros(5, 18, dtype=torch.long)
    for row, length in enumerate(mask.sum(-1).tolist()):
        places = [*range(3, 3 + length // 2), *range(18 - row - (length + 1) // 2, 18 - row)]  # with a gap
        shifted_ids[row, places], shifted_mask[row, places] = ids[row, :length], 1
    torch.testing.assert_close(rewards.score(Answered(shifted_ids, shifted_mask, answers)), rewards.score(texts))


def test_only_needed_scores_are_computed(rewards, texts, monkeypatch):
    everything, rows = rewards.score(texts), []
    plain = rewards.bank.forward_hidden
    monkeypatch.setattr(rewards.bank, "forward_hidden", lambda *given: rows.append(len(given[2])) or plain(*given))
    needed = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1]], dtype=torch.bool)
    rewards.rows_at_once = 3
    torch.testing.assert_close(rewards.score(texts, needed=needed), everything * needed)
    assert sum(rows) == 7
    assert max(rows) == 3


def test_scores_come_in_the_order_of_the_names_asked_for(rewards, texts):
    everything = rewards.score(texts)
    needed = torch.tensor([[1, 0]] * 5, dtype=torch.bool)
    torch.testing.assert_close(rewards.score(texts, names=["quality", "ant"]), everything[:, [2, 0]])
    some = rewards.score(texts, names=["quality", "ant"], needed=needed)
    torch.testing.assert_close(some, everything[:, [2, 0]] * needed)
    with pytest.raises(ValueError, match=r"among .* got \['dog'\]"):
        rewards.score(texts, names=["dog"])


def test_an_adapter_without_a_head_is_no_reward_model(trained, tmp_path):
    get_peft_model(tiny_classifier(), LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "ant")
    with pytest.raises(ValueError, match=r"must hold one output score\.weight .* got none"):
        RewardModels.load(tmp_path, tiny_classifier())
    with pytest.raises(ValueError, match="at least one reward model"):
        RewardModels.load(tmp_path / "ant", tiny_classifier())


def test_the_calibration_error_is_the_hand_computed_one():
    margins = torch.tensor([0.6, 0.6, -0.6, 0.99]).logit()
    margins[:3] = torch.tensor([0.6, 0.6, 0.4]).logit()
    # one bin holds confidences .6, .6, .6 of which two are right; another holds .99, right
    expected = (abs(2 - 1.8) + abs(1 - 0.99)) / 4
    assert calibration_error(margins) == pytest.approx(expected, abs=1e-6)


def word_tokenizer():
    words = ["<pad>", "<s>", "</s>", "?", *(f"w{number}" for number in range(36))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="?"
    )


def test_prompts_go_in_front_and_nothing_is_added_to_an_answer_that_was_cut_off():
    pairs = datasets.Dataset.from_dict({"prompt": ["w0 "], "chosen": ["w1 </s>"], "rejected": ["w2 w2"]})
    tokens = tokenize_pairs(pairs, word_tokenizer())
    assert tokens[0] == {
        "chosen_ids": [4, 5, 2],
        "rejected_ids": [4, 6, 6],
        "chosen_answer": 2,
        "rejected_answer": 2,
        "length": 3,
    }


def test_pairs_that_cannot_be_meant_are_refused():
    tokenizer = word_tokenizer()
    with pytest.raises(ValueError, match="columns chosen and rejected, got \\['chosen'\\]"):
        tokenize_pairs(datasets.Dataset.from_dict({"chosen": ["w1"]}), tokenizer)
    repeated = datasets.Dataset.from_dict({"prompt": ["w0 "], "chosen": ["w0 w1"], "rejected": ["w2"]})
    with pytest.raises(ValueError, match="must not repeat its prompt"):
        tokenize_pairs(repeated, tokenizer)


def favouring_pairs(count, seed):
    """Pairs in which the chosen answer has the word `w5` and the rejected one has not."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(6, 36, (count, 2, 5), generator=generator).tolist()
    texts = [[" ".join(f"w{word}" for word in answer) for answer in row] for row in rows]
    return datasets.Dataset.from_dict(
        {
            "prompt": ["w1 w2 "] * count,
            "chosen": [f"w5 {chosen} </s>" for chosen, _ in texts],
            "rejected": [f"{rejected} </s>" for _, rejected in texts],
        }
    )


def test_a_batch_holds_the_lengths_of_its_answers_the_chosen_ones_first():
    pairs = [
        {"chosen_ids": [4, 5, 2], "rejected_ids": [4, 6], "chosen_answer": 2, "rejected_answer": 1},
        {"chosen_ids": [7], "rejected_ids": [7, 8, 9, 2], "chosen_answer": 0, "rejected_answer": 3},
    ]
    found = AnswerCollator(PAD)(pairs)
    assert found["attention_mask"].sum(-1).tolist() == [3, 1, 2, 4]
    assert found["answer_lengths"].tolist() == [2, 0, 1, 3]


def side_of(tokens: datasets.Dataset, side: str) -> Answered:
    """One side of tokenized pairs of equal length."""
    ids = torch.tensor(tokens[f"{side}_ids"][:])
    return Answered(ids, torch.ones_like(ids), torch.tensor(tokens[f"{side}_answer"][:]))


def test_a_reward_model_learns_what_was_preferred_and_can_be_loaded(tmp_path):
    base = tiny_classifier().float()
    base.save_pretrained(tmp_path / "base")
    word_tokenizer().save_pretrained(tmp_path / "base")
    held_out = favouring_pairs(24, seed=1)
    metrics = train_reward(
        tmp_path / "base",
        favouring_pairs(96, seed=0),
        held_out,
        tmp_path / "rewards" / "five",
        learning_rate=3e-2,
        batch_size=8,
        epochs=2,
        evidence=False,
    )
    assert metrics["accuracy"] > 0.9
    assert json.loads((tmp_path / "rewards" / "five" / "metrics.json").read_text()) == metrics
    rewards = RewardModels.load(tmp_path / "rewards", tiny_classifier().float())
    tokens = tokenize_pairs(held_out, word_tokenizer())
    chosen, rejected = (rewards.score(side_of(tokens, side)) for side in ("chosen", "rejected"))
    margins = chosen - rejected
    assert float(margins.mean()) == pytest.approx(metrics["mean_margin"], rel=1e-3)
    assert metrics["scale"] != 1.0


def test_a_base_in_half_precision_is_read_in_full(tmp_path):
    """Bases are shipped in bfloat16, whose steps are too coarse to train in and slow on a processor."""
    tiny_base().bfloat16().save_pretrained(tmp_path)
    assert {parameter.dtype for parameter in _evidence_classifier(tmp_path, 0).parameters()} == {torch.float32}


@pytest.mark.parametrize("known", [True, False])
def test_half_precision_is_used_only_where_there_are_products_for_it(tmp_path, monkeypatch, known):
    monkeypatch.setattr(reward_learning, "trains_in_bfloat16", lambda: known)
    assert _arguments(tmp_path, 1e-3, 1.0, 4, 0.01, seed=0).bf16 is known


@pytest.mark.parametrize("pads_with", ["</s>", None])
def test_a_tokenizer_that_pads_with_its_end_or_nothing_pads_with_what_no_text_ends_with(tmp_path, pads_with):
    """As SmolLM2's and Llama's do: the end would count as padding, and a text that ends look cut off."""
    tokenizer = word_tokenizer()
    tokenizer.pad_token = pads_with
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).pad_token == pads_with
    assert tokenizer_of(tmp_path).pad_token == "?"
    word_tokenizer().save_pretrained(tmp_path)
    assert tokenizer_of(tmp_path).pad_token == "<pad>"


def test_a_tokenizer_with_no_special_token_but_its_end_is_refused(tmp_path):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"</s>": 0})), eos_token="</s>")
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="differ from the end, got no special token but '</s>'"):
        tokenizer_of(tmp_path)


def test_finished_reward_models_are_kept(tmp_path):
    (tmp_path / "rewards" / "ant").mkdir(parents=True)
    (tmp_path / "rewards" / "ant" / "metrics.json").write_text('{"accuracy": 0.75}')
    kept = train_rewards(tmp_path / "no base", tmp_path / "no pairs", tmp_path / "rewards", names=["ant"])
    assert kept == {"ant": {"accuracy": 0.75}}


def test_the_configuration_parses_against_the_command():
    config = command_parser().parse_args(["--config", str(CONFIGS / "miniature" / "rewards.yaml")])
    assert config.workers == 2


def test_rewards_stored_in_bfloat16_score_in_the_precision_of_their_trunk(trained, texts, tmp_path):
    shutil.copytree(trained[1], tmp_path / "stored")
    for path in (tmp_path / "stored").rglob("*.safetensors"):
        save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path)
    scores = RewardModels.load(tmp_path / "stored", tiny_classifier()).score(texts)
    assert scores.dtype == tiny_classifier().dtype
    torch.testing.assert_close(
        scores, RewardModels.load(trained[1], tiny_classifier()).score(texts), rtol=0.1, atol=0.1
    )


def test_what_takes_longest_to_train_starts_first(tmp_path):
    for name, pairs in (("ant", 1), ("bee", 3), ("cat", 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.jsonl").write_text("{}\n" * pairs)
    assert most_pairs_first(tmp_path) == ["bee", "cat", "ant"]
