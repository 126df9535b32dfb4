"""What TRL is given is what our own training reads: no test here needs TRL's PPO."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from comparison.bench.training.bridge import Composite, classifier, value_model
from decoding.answered import Answered
from experts.rewards import RewardModels

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated")  # inside PEFT
LORA = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
PAD = 0
IDS = torch.tensor([[PAD, PAD, 1, 5, 6, 7, 2], [1, 4, 3, 9, 8, 7, 6], [PAD, 1, 11, 5, 12, 2, PAD]])
LAST = torch.tensor([6, 6, 5])  # the last token of each row that is no padding


def as_trl_asks(model, ids):
    """What `PPOTrainer` makes of a reward or value model at every token, `(R, T)`."""
    mask = ids != PAD
    read = getattr(model, model.base_model_prefix)(
        input_ids=ids.masked_fill(~mask, 0),
        attention_mask=mask,
        position_ids=mask.cumsum(1) - mask.long(),
        return_dict=True,
        output_hidden_states=True,
        use_cache=False,
    )
    return model.score(read.hidden_states[-1]).squeeze(-1)


def test_trl_pays_what_our_reward_models_say(world):
    base = AutoModelForCausalLM.from_pretrained(world / "base", dtype=torch.float32)
    assert base.config.pad_token_id == PAD
    texts = Answered(IDS, (IDS != PAD).long(), torch.tensor([3, 4, 3]))
    scores = RewardModels.load(world / "rewards", base, ["friendly", "quality"]).score(texts)
    parts = [classifier(world / "base", world / "rewards" / name) for name in ("friendly", "quality")]
    marks = as_trl_asks(Composite(parts, [1.0, 2.0]), IDS)[torch.arange(3), LAST]
    wanted = (scores.sigmoid() - 0.5) @ torch.tensor([1.0, 2.0])
    assert wanted.std() > 0.1
    torch.testing.assert_close(marks, wanted, rtol=1e-4, atol=1e-4)


def test_trl_computes_in_full_precision_as_we_do_whatever_the_base_is_stored_in(world, tmp_path):
    AutoModelForCausalLM.from_pretrained(world / "base", dtype=torch.bfloat16).save_pretrained(tmp_path)
    models = [classifier(tmp_path, world / "rewards" / "friendly"), value_model(tmp_path, LORA)]
    assert {parameter.dtype for model in models for parameter in model.parameters()} == {torch.float32}


def test_a_reward_model_stays_as_it_is(world):
    model = Composite([classifier(world / "base", world / "rewards" / "friendly")], [1.0])
    assert not [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert not model.marks.classifiers[0].training


def test_a_value_model_starts_at_zero_and_trains_an_adapter_of_the_policys_shape_and_its_head(world):
    model = value_model(world / "base", LORA)
    assert not as_trl_asks(model, IDS).any()
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained.pop("score.weight").shape == (1, model.config.hidden_size)
    base = AutoModelForCausalLM.from_pretrained(world / "base")
    policy = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **LORA))
    of_policy = [parameter.shape for parameter in policy.parameters() if parameter.requires_grad]
    assert [parameter.shape for parameter in trained.values()] == of_policy
    as_trl_asks(model, IDS).sum().backward()
    assert model.score.weight.grad.any()
