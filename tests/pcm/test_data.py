"""Prompts × preferences, a function of seed and iteration."""

import json

import pytest
import torch

from decoding.dimension import Dimension
from pcm.data import Iterations, Preferences, PromptsAndPreferences, Schedule

DIMENSIONS = (
    Dimension("elementary", "Simple.", "expert"),
    Dimension("expert", "Hard.", "elementary"),
    Dimension("concise", "Short.", "informative"),
    Dimension("friendly", "Warm."),
    Dimension("informative", "Long.", "concise"),
)
PROMPTS = [[{"role": "user", "content": f"question {number}"}] for number in range(7)]


def test_drawn_preferences_ask_for_at_most_one_pole_of_an_axis():
    preferences, generator = Preferences(DIMENSIONS), torch.Generator().manual_seed(0)
    drawn = torch.stack([preferences.draw(generator) for _ in range(400)])
    asked = drawn > 0
    assert not (asked[:, 0] & asked[:, 1]).any()
    assert not (asked[:, 2] & asked[:, 4]).any()
    assert set(asked.sum(-1).tolist()) == {1, 2, 3}
    assert float((asked.sum(-1) == 3).float().mean()) == pytest.approx(0.7, abs=0.07)
    assert drawn.max() <= 1.0
    assert float((drawn[asked] < 1).float().mean()) > 0.05
    assert asked.float().mean(0).min() > 0.3  # every pole has its turn


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_poles_of_which_one_names_the_other_have_their_turns_and_are_never_drawn_together(order):
    """Either both were asked for at once, or the one that names its opposite was never drawn."""
    poles = (Dimension("warm", "Warm.", "cold"), Dimension("cold", "Cold."))
    preferences, generator = Preferences([poles[place] for place in order]), torch.Generator().manual_seed(0)
    asked = torch.stack([preferences.draw(generator) for _ in range(50)]) > 0
    assert set(asked.sum(-1).tolist()) == {1}
    assert bool(asked.any(0).all())


def test_intensities_are_whole_or_free_or_shares_of_which_the_largest_is_whole():
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(Preferences(DIMENSIONS, plain=1.0).intensities(3, generator), torch.ones(3))
    drawn = torch.stack([Preferences(DIMENSIONS, plain=0.0).intensities(3, generator) for _ in range(400)])
    shares = drawn.amax(-1) == 1.0
    assert float(shares.float().mean()) == pytest.approx(0.5, abs=0.08)
    assert float(drawn[shares].min()) == pytest.approx(0.05)
    assert float(drawn[~shares].min()) > 0.1
    assert float(drawn[~shares].amax(-1).mean()) == pytest.approx(0.1 + 0.9 * 3 / 4, abs=0.05)  # of three free ones


def test_full_combinations_come_round():
    preferences = Preferences(DIMENSIONS)
    first = {tuple(preferences.combination(number).tolist()) for number in range(4)}
    assert len(first) == 4
    assert all(sum(combination) == 3 for combination in first)
    assert torch.equal(preferences.combination(1), preferences.combination(5))


def test_what_is_withheld_is_never_asked_for_together_and_the_rest_still_is():
    names = [dimension.name for dimension in DIMENSIONS]
    first, second = (names.index(name) for name in ("elementary", "concise"))
    preferences, generator = Preferences(DIMENSIONS, withheld=["elementary+concise"]), torch.Generator().manual_seed(0)
    drawn = torch.stack([preferences.draw(generator) for _ in range(400)]) > 0
    assert not bool((drawn[:, first] & drawn[:, second]).any())
    assert bool(drawn[:, first].any())
    assert bool(drawn[:, second].any())
    whole = torch.stack([preferences.combination(number) for number in range(12)]) > 0
    assert not bool((whole[:, first] & whole[:, second]).any())
    assert len({tuple(one.tolist()) for one in whole}) == 3  # of four
    with pytest.raises(ValueError, match="got loud"):
        Preferences(DIMENSIONS, withheld=["friendly+loud"])
    with pytest.raises(ValueError, match="must be left"):
        Preferences(DIMENSIONS, withheld=["friendly"])


def test_a_batch_depends_on_seed_iteration_and_rank_alone():
    def batch(iteration: int, seed: int = 0, rank: int = 0) -> tuple[str, list]:
        drawn = Iterations(PROMPTS, Preferences(DIMENSIONS), 4, seed, rank, processes=2)[iteration]
        return json.dumps(drawn.conversations), drawn.asked.tolist()

    assert batch(3) == batch(3)
    assert len({str(each) for each in (batch(3), batch(4), batch(3, seed=1), batch(3, rank=1))}) == 4


def test_processes_draw_together_what_one_with_all_their_pairs_draws():
    parts = [Iterations(PROMPTS, Preferences(DIMENSIONS), 4, 0, rank, processes=2)[3] for rank in range(2)]
    whole = Iterations(PROMPTS, Preferences(DIMENSIONS), 8, 0)[3]
    assert [one for part in parts for one in part.conversations] == whole.conversations
    assert torch.equal(torch.cat([part.asked for part in parts]), whole.asked)


def test_every_prompt_comes_once_before_any_comes_twice():
    drawn = Iterations(PROMPTS, Preferences(DIMENSIONS), 10, seed=0)[0]
    assert len({json.dumps(conversation) for conversation in drawn.conversations[:7]}) == 7
    assert len(drawn.conversations) == 10


def test_iterations_are_counted_on_over_epochs():
    schedule = Schedule(3, iter((6, 9)).__next__)
    assert list(schedule) + list(schedule) == [6, 7, 8, 9, 10, 11]


def test_validation_is_the_same_pairs_every_time(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"messages": prompt}) + "\n" for prompt in PROMPTS))
    data = PromptsAndPreferences(DIMENSIONS, str(path), str(path), validation_pairs=5, validation_batch=2)
    first, second = list(data.val_dataloader()), list(data.val_dataloader())
    assert [batch.number for batch in first] == [0, 2, 4]
    assert [conversation for batch in first for conversation in batch.conversations] == PROMPTS[:5]
    assert torch.equal(torch.cat([batch.asked for batch in first]), torch.cat([batch.asked for batch in second]))
