import torch

from pcm.users.networks import ChoiceEncoder, Chosen, Everybody, padded, preferred_first, shown

OUTCOMES = torch.tensor([1.0, 0.0, 0.5, 1.0, 0.0, 1.0])


def user(marker, count=6):
    """A user whose choices can be told apart by their numbers, and from another's."""
    return Chosen(torch.arange(1.0, 1 + count)[:, None] + torch.tensor([[marker, -marker]]), OUTCOMES[:count])


def test_the_preferred_answer_is_first_and_a_tie_says_nothing():
    differences = torch.tensor([[1.0, -2.0], [3.0, 4.0], [5.0, 6.0]])
    assert preferred_first(differences, torch.tensor([1.0, 0.0, 0.5])).tolist() == [[1, -2], [-3, -4], [0, 0]]


def test_of_a_user_some_choices_are_known_and_all_others_are_to_be_foreseen():
    generator, counts = torch.Generator().manual_seed(0), set()
    users = Everybody.of([user(10.0), user(20.0, count=4)])
    for _ in range(40):
        batch = shown(users, generator)
        for row, (marker, count) in enumerate(((10.0, 6), (20.0, 4))):
            known, asked = batch.mask[row].bool(), batch.asked_mask[row].bool()
            numbers = batch.asked[row][:, 0] - marker
            assert not (known & asked).any()
            assert sorted(numbers[known | asked].tolist()) == list(range(1, 1 + count))
            assert batch.outcomes[row][known | asked].tolist() == OUTCOMES[numbers[known | asked].long() - 1].tolist()
            signed = preferred_first(batch.asked[row], batch.outcomes[row])
            torch.testing.assert_close(batch.known[row][known], signed[known])
            assert asked.any()
            counts.add((row, int(known.sum())))
    assert counts == {*((0, count) for count in range(6)), *((1, count) for count in range(4))}


def test_a_batch_is_drawn_of_all_users_with_what_is_theirs():
    some = Everybody.of([user(10.0), user(20.0, count=4)]).drawn(50, torch.Generator().manual_seed(0))
    markers = some.differences[:, 0, 0] - 1
    assert set(markers.tolist()) == {10.0, 20.0}
    assert some.mask.sum(-1).tolist() == [6 if marker == 10 else 4 for marker in markers]


def test_surprise_is_that_of_the_choices_to_foresee_alone():
    batch = shown(Everybody.of([user(0.0), user(1.0, count=2)]), torch.Generator().manual_seed(3))
    tastes = torch.tensor([[0.3, -0.2], [0.1, 0.4]])
    for row in range(2):
        by_hand = 0.0
        for place in batch.asked_mask[row].nonzero()[:, 0].tolist():
            likely = torch.sigmoid(batch.asked[row, place] @ tastes[row])
            outcome = batch.outcomes[row, place]
            by_hand -= outcome * likely.log() + (1 - outcome) * (1 - likely).log()
        torch.testing.assert_close(batch.surprise(tastes)[row], torch.as_tensor(by_hand))


def test_the_encoder_minds_neither_order_nor_padding():
    torch.manual_seed(0)
    encoder, choices = ChoiceEncoder(2, 3), torch.randn(4, 2)
    alone = encoder(choices[None], torch.ones(1, 4))
    torch.testing.assert_close(encoder(choices.flip(0)[None], torch.ones(1, 4)), alone)
    torch.testing.assert_close(encoder(*padded([choices, torch.randn(7, 2)]))[:1], alone)
    assert not torch.allclose(encoder(torch.cat([choices, choices])[None], torch.ones(1, 8)), alone)  # it counts
