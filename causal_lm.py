"""The Hugging Face face: a mixture wherever a causal language model is expected.

`generate` with its beams, streamers, processors and criteria, scoring with labels, the evaluation harness: all of them
read distributions that `Mixture.step` and `Mixture.mix` made.
Knows what transformers expects of a causal language model. Does not know how a distribution is mixed.
"""

import copy
from collections.abc import Sequence
from typing import Any, NoReturn, cast

import torch
from torch import LongTensor, Tensor, nn
from transformers import Cache, GenerationConfig, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.generation import GenerationMode
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple

from decoding.conversation import require_room
from mixture import Mixture, State
from pcm.preference import Preference


class MixtureCache(Cache):
    """A mixture's state as transformers carries a cache: requests outside, (request, expert) rows inside.

    The layers are those of the state's own cache, so lengths and cropping need no translation.

    Args:
        state: What was read so far; it moves along.
    """

    def __init__(self, state: State) -> None:
        super().__init__(layers=state.cache.layers)
        self.state = state

    @property
    def batch_size(self) -> int:
        """The number of requests, B."""
        return self.state.asked.shape[0]

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Lets each request go on from another one's past: beam search, beam_idx (B,)."""
        self._take(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeats each request's past this many times, B becomes B · repeats."""
        self._take(torch.arange(self.batch_size, device=self.state.asked.device).repeat_interleave(repeats))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keeps the pasts of these requests, by index or by a mask of bools (B,)."""
        self._take(torch.arange(self.batch_size, device=self.state.asked.device)[indices])

    def crop(self, tokens_to_remove: int) -> None:
        """Forgets the last tokens; a negative number says how many, as caches of transformers want it."""
        before = self.get_seq_length()
        super().crop(tokens_to_remove)
        if self.state.trunk_cache is not None:  # it is longer: what is asked stands in front of its text
            self.state.trunk_cache.crop(self.get_seq_length() - before)

    def _take(self, requests: Tensor) -> None:
        """Puts the past of request `requests[b]` into place b, in every group of rows that it has."""
        state = self.state
        requests = requests.to(state.asked.device)
        places = state.rows.requests.new_zeros(state.asked.shape[1] + 1, self.batch_size)  # (K + 1, B), base first
        places[state.rows.experts + 1, state.rows.requests] = torch.arange(len(state.rows.requests)).to(places)
        state.asked, state.mask = state.asked[requests], state.mask[requests]
        state.rows = state.rows.taken(requests)
        rows = places[state.rows.experts + 1, requests[state.rows.requests]]
        state.cache.reorder_cache(cast(LongTensor, rows))
        if state.trunk_cache is not None:
            state.trunk_cache.reorder_cache(cast(LongTensor, requests))


class MixtureForCausalLM(PreTrainedModel, GenerationMixin):
    """A mixture that listens to fixed preferences, in the shape of a causal language model of transformers.

    It shares everything with the mixture and copies nothing: a second face for other preferences costs no memory.

    Args:
        mixture: Base, experts, controller and rule.
        preferences: One for all rows of every batch, or one for each row; None asks for all dimensions alike.
            A tensor (1 or B, K) says how much each dimension is asked for, in [0, 1].

    Raises:
        ValueError: If the preferences do not fit the mixture's dimensions, or the mixture spares its experts.
    """

    asked: Tensor

    def __init__(self, mixture: Mixture, preferences: Preference | Sequence[Preference | None] | Tensor | None) -> None:
        if mixture.budget != 1:
            raise ValueError(
                f"beams and labels need a mixture that mixes every token, got a budget of {mixture.budget}"
            )
        super().__init__(_described(mixture))
        # Without `post_init`: it would draw new weights for a controller that is trained already.
        self.mixture = mixture
        self.bank, self.pcm = mixture.bank, mixture.pcm
        self.generation_config = _generation_defaults(mixture)
        self.register_buffer("asked", _asked(mixture, preferences).to(mixture.bank.base.device), persistent=False)
        self.eval()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: MixtureCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool = False,
        logits_to_keep: int = 0,
        asked: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> CausalLMOutputWithPast:
        """Gives the mixture's log-probabilities as logits (B, T', V), with the loss of the labels if there are some.

        Args:
            input_ids: The tokens that the cache does not hold yet (B, T).
            attention_mask: 1 where a token counts, over cached and new tokens (B, S); None counts all.
            past_key_values: From an earlier pass, or from `empty_cache`.
            labels: What to score (B, T); -100 is left out, and position t is scored by what is said at t - 1.
            use_cache: Give a cache to go on from.
            logits_to_keep: Give only this many last positions, T'; 0 gives all.
            asked: Instead of the face's own preferences (1 or B, K).
            num_items_in_batch: What the loss is divided by, instead of the number of labels in this batch.

        Raises:
            ValueError: If the preferences are not one for each row, the cache was read for others, or the text is
                longer than the model's window.
        """
        asked = self._asked_by(input_ids.shape[0], asked)
        if past_key_values is None and use_cache:
            past_key_values = self.empty_cache(asked)
        cached = 0 if past_key_values is None else past_key_values.get_seq_length()
        if attention_mask is None:
            attention_mask = input_ids.new_ones(input_ids.shape[0], cached + input_ids.shape[1])
        if attention_mask.shape[1] > self.mixture.window:
            require_room(attention_mask, 0, self.mixture.window)
        if past_key_values is None:
            reading = self.mixture.read(input_ids, attention_mask, asked, logits_to_keep)
            logits = self.mixture.mix(reading, asked)[0]
        else:
            logits = self._continued(input_ids, attention_mask, past_key_values, asked, logits_to_keep)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, logits.shape[-1], num_items_in_batch=num_items_in_batch)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)

    def empty_cache(self, asked: Tensor) -> MixtureCache:
        """Gives the cache of requests of which nothing is read yet, asked (B, K)."""
        return MixtureCache(self.mixture.start(asked.new_zeros(asked.shape[0], 0, dtype=torch.long), asked))

    def get_input_embeddings(self) -> nn.Module:
        """The base's token embeddings."""
        return self.mixture.bank.base.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The base's language-model head."""
        return self.mixture.bank.base.get_output_embeddings()

    def save_pretrained(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuses: a bundle is how a mixture is kept.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("a mixture must be saved as a bundle, by Mixture.save, got save_pretrained")

    def _continued(
        self, input_ids: Tensor, attention_mask: Tensor, cache: MixtureCache, asked: Tensor, logits_to_keep: int
    ) -> Tensor:
        """The logits (B, T', V) of tokens that come after what the cache holds; the cache moves on."""
        state, cached = cache.state, cache.get_seq_length()
        if not torch.equal(state.asked, asked):
            raise ValueError(
                f"a cache must go on with the preferences it was read for, {state.asked.tolist()}, got {asked.tolist()}"
            )
        # A step counts whatever it reads after the prompt; a prompt that comes in pieces may have padding there.
        if logits_to_keep == 1 and (cached == 0 or bool(attention_mask[:, cached:].all())):
            state.mask = attention_mask[:, :cached] if cached else attention_mask
            return self.mixture.step(state, input_ids).logprobs.unsqueeze(1)
        state.mask = attention_mask
        reading = self.mixture.read(input_ids, attention_mask, asked, logits_to_keep, state)
        return self.mixture.mix(reading, asked)[0]

    def _asked_by(self, requests: int, asked: Tensor | None) -> Tensor:
        """How much each dimension is asked for by each request (B, K)."""
        asked = self.asked if asked is None else _asked(self.mixture, asked).to(self.asked)
        if asked.shape[0] not in (1, requests):
            raise ValueError(f"preferences must be one, or one for each of {requests} rows, got {asked.shape[0]}")
        return asked.expand(requests, -1)

    def _expand_inputs_for_generation(
        self, expand_size: int = 1, is_encoder_decoder: bool = False, input_ids: Tensor | None = None, **kwargs: Any
    ) -> tuple[LongTensor, dict[str, Any]]:
        """Repeats each request with its preference for its beams and its further responses."""
        assert input_ids is not None  # `generate` makes a prompt of the first token where none is given
        kwargs["asked"] = self._asked_by(input_ids.shape[0], kwargs.get("asked"))
        expanded = super()._expand_inputs_for_generation  # type: ignore[misc]  # the mixin's self is a protocol
        return expanded(expand_size, is_encoder_decoder, cast(LongTensor, input_ids), **kwargs)

    def _prepare_cache_for_generation(
        self,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        generation_mode: GenerationMode,
        batch_size: int,
        max_cache_length: int,
    ) -> bool:
        """Starts a mixture's cache where `generate` would start an ordinary one."""
        if generation_config.cache_implementation is not None:
            raise ValueError(f"cache_implementation must be None, got {generation_config.cache_implementation!r}")
        if generation_config.use_cache is not False and model_kwargs.get("past_key_values") is None:
            model_kwargs["past_key_values"] = self.empty_cache(model_kwargs["asked"])
            return True
        prepare = super()._prepare_cache_for_generation  # type: ignore[misc]  # the mixin's self is a protocol
        return prepare(generation_config, model_kwargs, generation_mode, batch_size, max_cache_length)


def _described(mixture: Mixture) -> PreTrainedConfig:
    """A copy of the base's configuration: vocabulary, window and special tokens are the mixture's too."""
    config = copy.deepcopy(mixture.bank.base.config)
    # The face has no attention of its own; the base keeps computing with whatever it was given.
    config._attn_implementation = config._experts_implementation = "eager"
    return config


def _generation_defaults(mixture: Mixture) -> GenerationConfig:
    """The base's own defaults, ending where the mixture's responses end."""
    defaults = copy.deepcopy(mixture.bank.base.generation_config)
    defaults.eos_token_id, defaults.pad_token_id = mixture.stop_ids, mixture.tokenizer.pad_token_id
    defaults.cache_implementation = None  # some bases ask for another one; rows are kept in the bank's
    return defaults


def _asked(mixture: Mixture, preferences: Preference | Sequence[Preference | None] | Tensor | None) -> Tensor:
    """How much each dimension is asked for (1 or B, K), checked."""
    if preferences is None or isinstance(preferences, Preference):
        preferences = [preferences]
    if not isinstance(preferences, Tensor):
        preferences = torch.stack([mixture.asked(preference) for preference in preferences])
    dimensions = len(mixture.dimensions)
    if preferences.dim() != 2 or preferences.shape[1] != dimensions:
        raise ValueError(f"asked must have the shape (B, {dimensions}), got {tuple(preferences.shape)}")
    if not bool(((preferences >= 0) & (preferences <= 1)).all()):
        raise ValueError(f"asked must be numbers in [0, 1], got {preferences.tolist()}")
    return preferences
