import torch

from comparison.users.bundled import ANYTHING, text_reader
from mixture import Mixture
from pcm.users.evidence import OwnText


def test_own_texts_are_read_to_their_end_behind_what_they_answer(mixture: Mixture):
    question = [{"role": "user", "content": "Why?"}]
    anything = [{"role": "user", "content": ANYTHING}]
    texts = [OwnText("rain is warm", question), OwnText("rain is warm")]
    for text, asked, prompt in zip(text_reader(mixture)(texts), texts, (question, anything), strict=True):
        said = mixture.tokenizer(f" {asked.text}", add_special_tokens=False)["input_ids"]
        assert text.tokens.tolist() == [*said, mixture.tokenizer.eos_token_id]
        assert text.experts.shape == (3, *text.base.shape)
        whole = torch.cat([mixture.encode([prompt])[0], text.tokens[None]], dim=1)
        alone = torch.full((1,), -1)
        for expert in (-1, 0, 2):
            logits = mixture.bank.forward_rows(whole, torch.ones_like(whole), alone + 1 + expert).logits[0]
            expected = logits[-len(text.tokens) - 1 : -1].float().log_softmax(-1)
            read = text.base if expert < 0 else text.experts[expert]
            torch.testing.assert_close(read, expected)


def test_a_text_longer_than_the_window_is_read_as_far_as_it_fits(mixture: Mixture):
    (text,) = text_reader(mixture)([OwnText("rain " * 5000)])
    asked = mixture.encode([[{"role": "user", "content": ANYTHING}]])[0]
    assert len(text.tokens) == mixture.window - asked.shape[1]
