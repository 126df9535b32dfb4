import pytest
import torch
from test_amortised import users
from tiny_bundle import tiny_tokenizer

from decoding.dimension import Dimension
from pcm.reader.model import PreferenceReader
from pcm.users.axes import Axes
from pcm.users.networks import Everybody
from pcm.users.tokens import surprise, user_tokens

DIMENSIONS = [Dimension("easy", "Easy.", "hard"), Dimension("warm", "Kind words."), Dimension("hard", "Hard.", "easy")]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """One that hears something in anything."""
    torch.manual_seed(0)
    return PreferenceReader(tiny_tokenizer(tmp_path_factory.mktemp("tokenizer")), DIMENSIONS, width=16).eval()


@pytest.fixture(scope="module")
def tokens(reader):
    """Learned from users who want it easy, or hard, and all of whom want quality."""
    return user_tokens(users([(3.0, 0.0, 1.0), (-3.0, 0.0, 1.0)] * 10), reader, Axes(DIMENSIONS), steps=200)


def test_a_stranger_is_anybody_and_a_user_is_known_by_some_choices(tokens):
    stranger = tokens.after(torch.zeros(0, 3), torch.zeros(0))
    assert abs(float(stranger.mean[0])) < 1
    assert float(stranger.mean[2]) > 0.4  # what all users have in common
    for wants in (3.0, -3.0):
        (chosen,) = users([(wants, 0.0, 1.0)], seed=5)
        belief = tokens.after(chosen.differences[:15], chosen.outcomes[:15])
        assert belief.mean[0] * wants > 3
        assert belief.deviation[0] < stranger.deviation[0]


def test_the_reader_is_left_as_it_was(reader, tokens):
    before = {name: value.clone() for name, value in reader.state_dict().items()}
    user_tokens(users([(3.0, 0.0, 1.0)] * 2), reader, Axes(DIMENSIONS), steps=2)
    assert all(torch.equal(value, before[name]) for name, value in reader.state_dict().items())
    assert all(parameter.grad is None for parameter in reader.parameters())


def test_embedded_words_are_heard_as_the_words_are(reader):
    texts, mask = reader.tokenize(["make it easy and warm"])
    heard = reader.probabilities_of(reader.embedding(texts), mask)
    torch.testing.assert_close(heard, reader.probabilities(["make it easy and warm"]))


def test_half_of_the_loss_takes_users_for_anybody(reader, monkeypatch):
    log = users([(3.0, 0.0, 1.0)] * 6 + [(-3.0, 0.0, 1.0)] * 2)
    missed = []
    for own in (0.5, 1.0):
        monkeypatch.setattr("pcm.users.tokens.OWN", own)
        learned = user_tokens(log, reader, Axes(DIMENSIONS), steps=100)
        stranger = learned.tastes(torch.zeros(1, *learned.generic.shape))
        missed.append(float(surprise(Everybody.of(log), stranger)))
    assert missed[0] < 0.98 * missed[1]
