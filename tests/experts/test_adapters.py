"""Adapters travel between PEFT's folders and the bank without changing, or are refused by name."""

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from households import Household
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from experts import adapters
from experts.adapters import Adapter, AdapterConfig, read_adapter, write_adapter
from experts.bank import ExpertBank

EXACT = {"atol": 1e-10, "rtol": 0.0}
TEXT = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 10]])
ONES = torch.ones_like(TEXT)


@torch.no_grad()
def logits_of(bank: ExpertBank, expert: int) -> Tensor:
    return bank.forward_rows(TEXT, ONES, torch.full((2,), expert)).logits


@torch.no_grad()
def logits_under_peft(base: PreTrainedModel, folder: Path) -> Tensor:
    return PeftModel.from_pretrained(deepcopy(base), folder).eval()(input_ids=TEXT, attention_mask=ONES).logits


@pytest.fixture
def folder(llama: Household, tmp_path: Path) -> Path:
    """One expert's folder, to damage at will."""
    return Path(shutil.copytree(llama.folders["expert0"], tmp_path / "expert"))


def rewrite_config(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rewrite_tensors(folder: Path, change: Any) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")


def test_a_saved_expert_is_the_same_under_peft_and_in_a_new_bank(house: Household, tmp_path: Path) -> None:
    base = logits_of(house.bank, -1)
    for index, name in enumerate(house.bank.names):
        house.bank.save(name, tmp_path / name)
        before = logits_of(house.bank, index)
        torch.testing.assert_close(logits_under_peft(house.base, tmp_path / name), before, **EXACT)
        again = ExpertBank.load(deepcopy(house.base), {"again": tmp_path / name})
        torch.testing.assert_close(logits_of(again, 0), before, **EXACT)
        assert (before - base).abs().max() > 0.1


def test_a_saved_folder_names_no_machine_and_needs_no_pickle(llama: Household, tmp_path: Path) -> None:
    llama.bank.save("expert0", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] is None


def test_a_fresh_expert_changes_nothing_and_starts_like_peft(llama_base: PreTrainedModel) -> None:
    bank = ExpertBank(llama_base)
    bank.add("fresh", AdapterConfig(4, 8, ("q_proj",)), generator=torch.Generator().manual_seed(1))
    assert torch.equal(logits_of(bank, 0), logits_of(bank, -1))
    down, up = (parameter.detach() for parameter in bank.parameters_of("fresh")[:2])
    assert not up.any()
    bound = 1 / 16**0.5  # of a Kaiming-uniform matrix with a = sqrt(5) over 16 inputs
    assert 0.8 * bound < float(down.abs().max()) <= bound


def test_a_module_is_named_whole_by_its_last_parts_or_by_an_expression_over_all_of_it() -> None:
    ends = AdapterConfig(1, 1, ("v_proj",), rank_pattern={"proj": 7, "v_proj": 2})
    assert ends.targets("layers.0.v_proj")
    assert not ends.targets("layers.0.kv_proj")
    assert (ends.rank_of("layers.0.v_proj"), ends.rank_of("layers.0.kv_proj")) == (2, 1)
    expression = AdapterConfig(1, 1, r".*\.0\..*v_proj")
    assert expression.targets("layers.0.v_proj")
    assert not expression.targets("layers.0.v_proj.inner")


def test_an_expert_is_a_copy_that_can_be_saved_however_its_state_lay_in_memory(
    llama_base: PreTrainedModel, tmp_path: Path
) -> None:
    bank = ExpertBank(llama_base)
    bank.add("own", AdapterConfig(2, 4, ("layers.0.self_attn.q_proj",)))
    crosswise = {key: torch.rand(*tensor.t().shape).double().t() for key, tensor in bank.state_of("own").items()}
    before = {key: tensor.clone() for key, tensor in crosswise.items()}
    bank.add("given", bank.configs["own"], crosswise)
    with torch.no_grad():
        for parameter in bank.parameters_of("given"):
            parameter.mul_(2)
    assert all(torch.equal(crosswise[key], tensor) for key, tensor in before.items())
    bank.save("given", tmp_path)
    assert all(torch.equal(read_adapter(tmp_path).state[key], 2 * tensor) for key, tensor in before.items())


def test_one_layer_that_stores_its_weight_crosswise_is_enough_to_say_so(household: Callable[[str], Household]) -> None:
    bank = ExpertBank(deepcopy(household("gpt2").base))
    bank.add("head", AdapterConfig(2, 4, ("lm_head",)))
    assert not bank.fan_in_fan_out
    bank.add("both", AdapterConfig(2, 4, ("c_attn", "lm_head")))
    assert bank.fan_in_fan_out


def test_a_fresh_expert_is_reproducible_from_its_generator(llama_base: PreTrainedModel) -> None:
    bank = ExpertBank(llama_base)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        bank.add(name, AdapterConfig(4, 8, ("q_proj",)), generator=torch.Generator().manual_seed(seed))
    first, same, other = (bank.parameters_of(name)[0] for name in "abc")
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_reward_adapters_of_a_classifier_load_onto_the_bare_trunk(llama: Household, tmp_path: Path) -> None:
    llama.base.save_pretrained(tmp_path / "base")
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=1).double()
    settings = {"r": 2, "lora_alpha": 4, "target_modules": ["v_proj"], "modules_to_save": ["score"]}
    model = get_peft_model(classifier, LoraConfig(task_type=TaskType.SEQ_CLS, **settings)).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(tmp_path / "reward")
    with torch.no_grad():
        expected = model(input_ids=TEXT, attention_mask=ONES).logits[:, 0]

    adapter = read_adapter(tmp_path / "reward", allow_saved=["score", "classifier"])
    assert adapter.task_type == "SEQ_CLS"
    bank = ExpertBank(deepcopy(llama.base).base_model)
    bank.add("reward", adapter.config, adapter.state)
    with torch.no_grad():
        hidden = bank.forward_hidden(TEXT, ONES, torch.zeros(2, dtype=torch.long))  # (2, T, H)
    torch.testing.assert_close(hidden[:, -1] @ adapter.saved["score.weight"][0], expected, **EXACT)
    with pytest.raises(ValueError, match="needs a base with a language-model head, got LlamaModel"):
        logits_of(bank, 0)

    state = {f"model.{key}": tensor for key, tensor in bank.state_of("reward").items()}
    write_adapter(tmp_path / "again", Adapter(bank.configs["reward"], state, adapter.saved, "SEQ_CLS"))
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=1).double()
    again = PeftModel.from_pretrained(again, tmp_path / "again").eval()
    with torch.no_grad():
        torch.testing.assert_close(again(input_ids=TEXT, attention_mask=ONES).logits[:, 0], expected, **EXACT)


@pytest.mark.parametrize(
    ("narrowing", "layer"),
    [
        ({"layers_to_transform": [1]}, 1),
        ({"layers_to_transform": 0}, 0),
        ({"exclude_modules": ["layers.0.self_attn.q_proj"]}, 1),
    ],
    ids=str,
)
def test_narrowed_targets_are_read_from_the_tensors(
    llama: Household, tmp_path: Path, narrowing: dict[str, Any], layer: int
) -> None:
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], init_lora_weights=False, **narrowing)
    get_peft_model(deepcopy(llama.base), config).save_pretrained(tmp_path)
    bank = ExpertBank.load(deepcopy(llama.base), {"narrow": tmp_path})
    assert bank.configs["narrow"].target_modules == (f"model.layers.{layer}.self_attn.q_proj",)
    torch.testing.assert_close(logits_of(bank, 0), logits_under_peft(llama.base, tmp_path), **EXACT)


PATTERNS: list[dict[str, Any]] = [
    {"rank_pattern": {"layers.1.self_attn.q_proj": 4}},
    {"alpha_pattern": {"v_proj": 1, "^model.layers.0.self_attn.q_proj": 20}},
    {"rank_pattern": {r"layers\.0\..*": 1, "v_proj": 3}, "alpha_pattern": {"self_attn.v_proj": 5}, "use_rslora": True},
]


@pytest.mark.parametrize("patterns", PATTERNS, ids=["rank", "alpha", "both, rank-stabilised"])
def test_ranks_and_alphas_of_single_modules_are_peft_s(
    llama: Household, tmp_path: Path, patterns: dict[str, Any]
) -> None:
    settings = {"r": 2, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False}
    torch.manual_seed(1)
    model = get_peft_model(deepcopy(llama.base), LoraConfig(task_type="CAUSAL_LM", **settings, **patterns))
    model.save_pretrained(tmp_path / "made")
    expected = logits_under_peft(llama.base, tmp_path / "made")
    bank = ExpertBank.load(deepcopy(llama.base), {"unequal": tmp_path / "made", "plain": llama.folders["expert0"]})
    torch.testing.assert_close(logits_of(bank, 0), expected, **EXACT)
    torch.testing.assert_close(logits_of(bank, 1), logits_of(llama.bank, 0), **EXACT)
    bank.save("unequal", tmp_path / "again")
    torch.testing.assert_close(logits_under_peft(llama.base, tmp_path / "again"), expected, **EXACT)
    bank.replace("unequal", Adapter(replace(bank.configs["unequal"], alpha_pattern={}), bank.state_of("unequal")))
    assert torch.allclose(logits_of(bank, 0), expected) == ("alpha_pattern" not in patterns)


def test_a_fresh_expert_has_the_ranks_of_its_pattern(llama_base: PreTrainedModel) -> None:
    bank = ExpertBank(llama_base)
    bank.add("fresh", AdapterConfig(2, 8, ("q_proj", "v_proj"), rank_pattern={"v_proj": 5}))
    assert {len(factor) for key, factor in bank.state_of("fresh").items() if "q_proj.lora_A" in key} == {2}
    assert {len(factor) for key, factor in bank.state_of("fresh").items() if "v_proj.lora_A" in key} == {5}


def test_of_two_patterns_that_mean_a_module_the_first_counts_on_disk_too(tmp_path: Path) -> None:
    config = AdapterConfig(2, 8, ("v_proj",), rank_pattern={"v_proj": 3, "self_attn.v_proj": 1})
    write_adapter(tmp_path, Adapter(config, {}))
    assert read_adapter(tmp_path).config == config
    assert read_adapter(tmp_path).config.rank_of("layers.0.self_attn.v_proj") == 3


def test_patterns_that_name_the_whole_module_reach_the_bare_trunk(llama_base: PreTrainedModel) -> None:
    anchored = AdapterConfig(2, 8, ("q_proj",), rank_pattern={"^model.layers.0.self_attn.q_proj": 5})
    bank = ExpertBank(llama_base.base_model)
    bank.add("fresh", anchored)
    assert [len(factor) for key, factor in bank.state_of("fresh").items() if "lora_A" in key] == [5, 2]
    assert bank.scaling("fresh", "layers.0.self_attn.q_proj") == 8 / 5


@pytest.mark.parametrize(
    ("dtype", "atol"), [(torch.float32, 2e-5), (torch.bfloat16, 2**-5), (torch.float16, 2**-8)], ids=str
)
def test_each_precision_reads_as_peft_does(house: Household, dtype: torch.dtype, atol: float) -> None:
    """Both add a float32 update to the base's output and round once per layer."""
    base = deepcopy(house.base).to(dtype)
    bank = ExpertBank.load(deepcopy(base), house.folders)
    assert {parameter.dtype for name in bank.names for parameter in bank.parameters_of(name)} == {torch.float32}
    for index, folder in enumerate(house.folders.values()):
        logits = logits_of(bank, index)
        assert logits.dtype == dtype
        torch.testing.assert_close(logits, logits_under_peft(base, folder), atol=atol, rtol=0)


def test_every_setting_of_peft_is_read_refused_or_known_to_change_nothing() -> None:
    """A setting that a later PEFT adds would be computed as if it were not there."""
    assert set(LoraConfig().to_dict()) <= adapters._KNOWN | adapters._REFUSED.keys()


@pytest.mark.parametrize("start", ["gaussian", "orthogonal", "mica"])
def test_ways_to_start_that_leave_the_base_alone_read_as_peft_does(
    llama: Household, tmp_path: Path, start: str
) -> None:
    settings = {"r": 2, "target_modules": ["q_proj"], "init_lora_weights": start}
    base = deepcopy(llama.base).float()  # PEFT starts some of them in single precision only
    model = get_peft_model(deepcopy(base), LoraConfig(task_type="CAUSAL_LM", **settings))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(tmp_path)
    bank = ExpertBank.load(deepcopy(base), {"expert": tmp_path})
    torch.testing.assert_close(logits_of(bank, 0), logits_under_peft(base, tmp_path), atol=1e-5, rtol=0)
    assert (logits_of(bank, 0) - logits_of(bank, -1)).abs().max() > 0.1


def test_targets_that_peft_chose_by_itself_are_read_from_the_tensors(llama: Household, folder: Path) -> None:
    rewrite_config(folder, target_modules=None)
    bank = ExpertBank.load(deepcopy(llama.base), {"expert": folder})
    torch.testing.assert_close(logits_of(bank, 0), logits_of(llama.bank, 0), **EXACT)


def test_rank_stabilised_scaling_divides_by_the_square_root() -> None:
    assert AdapterConfig(4, 8, ("q_proj",)).scaling_of("q_proj") == 2
    assert AdapterConfig(4, 8, ("q_proj",), use_rslora=True).scaling_of("q_proj") == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "must hold a LORA adapter, got IA3"),
        ({"use_dora": True}, "use_dora=True: DoRA rescales"),
        ({"lora_bias": True}, "lora_bias=True: biases are not stacked"),
        ({"bias": "all"}, "bias='all'"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save=\['lm_head'\].*train without"),
        ({"use_nextlora": True}, r"settings known here, got \['use_nextlora'\]: convert it"),
        ({"trainable_token_indices": [1]}, "embeddings are not adapted"),
        ({"target_parameters": ["w"]}, "only modules are adapted"),
        ({"layer_replication": [[0, 2]]}, "layers are not replicated"),
        ({"init_lora_weights": "pissa_niter_4"}, "leave the base's weights as they are.*pissa"),
    ],
)
def test_what_would_load_but_compute_something_else_is_refused_by_name(
    folder: Path, llama_base: PreTrainedModel, changes: dict[str, Any], message: str
) -> None:
    rewrite_config(folder, **changes)
    with pytest.raises(ValueError, match=message):
        ExpertBank.load(llama_base, {"expert": folder})


def saved_by_peft(base: PreTrainedModel, folder: Path, *targets: str) -> Path:
    """An adapter that changes something, written by PEFT itself."""
    model = get_peft_model(deepcopy(base), LoraConfig(task_type=TaskType.CAUSAL_LM, r=2, target_modules=[*targets]))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("shape", ["llama", "gemma3"], ids=["a head of its own", "a head tied to the embedding"])
@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings:UserWarning")
def test_an_adapter_on_the_head_is_the_same_under_peft(
    household: Callable[[str], Household], tmp_path: Path, shape: str
) -> None:
    base = household(shape).base
    folder = saved_by_peft(base, tmp_path / "head", "q_proj", "lm_head")
    assert any(key.endswith("lm_head.base_layer.weight") for key in load_file(folder / "adapter_model.safetensors"))
    bank = ExpertBank.load(deepcopy(base), {"head": folder})
    torch.testing.assert_close(logits_of(bank, 0), logits_under_peft(base, folder), **EXACT)
    assert (logits_of(bank, 0) - logits_of(bank, -1)).abs().max() > 0.1
    other = deepcopy(base)
    other.get_output_embeddings().weight.data += 1
    with pytest.raises(ValueError, match=r"must have been trained on this base, whose lm_head\.base_layer\.weight"):
        ExpertBank.load(other, {"head": folder})


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")
def test_an_embedding_adapter_is_refused_with_the_way_out(llama_base: PreTrainedModel, tmp_path: Path) -> None:
    folder = saved_by_peft(llama_base, tmp_path / "embedding", "q_proj", "embed_tokens")
    with pytest.raises(ValueError, match="train without embed_tokens"):
        ExpertBank.load(llama_base, {"expert": folder})


@pytest.mark.parametrize("factor", ["lora_A", "lora_B"])
def test_an_expert_that_changes_no_logit_is_refused(folder: Path, llama_base: PreTrainedModel, factor: str) -> None:
    rewrite_tensors(folder, lambda tensors: [tensor.zero_() for key, tensor in tensors.items() if factor in key])
    with pytest.raises(ValueError, match="'expert' must change some logit, got zeros in A or B of every module"):
        ExpertBank.load(llama_base, {"expert": folder})


def test_a_nan_is_refused_with_its_tensor(folder: Path, llama_base: PreTrainedModel) -> None:
    rewrite_tensors(folder, lambda tensors: next(iter(tensors.values())).fill_(float("nan")))
    with pytest.raises(ValueError, match=r"finite numbers only, got NaN or infinity in .*lora_A"):
        ExpertBank.load(llama_base, {"expert": folder})


def test_a_tensor_for_a_layer_that_is_not_there_is_refused(folder: Path, llama_base: PreTrainedModel) -> None:
    def move(tensors: dict[str, Tensor]) -> None:
        for key in [key for key in tensors if "layers.1" in key]:
            tensors[key.replace("layers.1", "layers.7")] = tensors.pop(key)

    rewrite_tensors(folder, move)
    with pytest.raises(ValueError, match=r"layers\.7.*too many.*layers\.1.*missing"):
        ExpertBank.load(llama_base, {"expert": folder})


def test_factors_of_the_wrong_shape_are_refused(folder: Path, llama_base: PreTrainedModel) -> None:
    rewrite_config(folder, r=5)
    with pytest.raises(ValueError, match=r"must have factors \(5, 16\) and \(16, 5\), got \(2, 16\) and \(16, 2\)"):
        ExpertBank.load(llama_base, {"expert": folder})


def test_a_pickled_adapter_is_refused_with_the_way_out(folder: Path, llama_base: PreTrainedModel) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(FileNotFoundError, match="load it with PEFT and save it again"):
        ExpertBank.load(llama_base, {"expert": folder})


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (("query",), "must name layers of LlamaForCausalLM, got"),
        (("embed_tokens",), r"must be Linear or Conv1D layers, got \['model.embed_tokens'\]"),
        ("model.layers.0", "must be Linear or Conv1D"),
    ],
)
def test_targets_that_cannot_be_adapted_are_refused(
    llama_base: PreTrainedModel, targets: tuple[str, ...] | str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ExpertBank(llama_base).add("expert", AdapterConfig(2, 4, targets))


@pytest.mark.parametrize(
    ("values", "message"),
    [((0, 4, ("q",)), "rank must be at least 1"), ((2, float("inf"), ("q",)), "finite"), ((2, 4, ()), "at least one")],
)
def test_an_adapter_that_cannot_be_built_is_refused(values: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdapterConfig(*values)
