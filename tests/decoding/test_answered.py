import torch

from decoding.answered import Answered

PROMPTS = torch.tensor([[0, 5, 6], [7, 8, 9]]), torch.tensor([[0, 1, 1], [1, 1, 1]])
ANSWERS = torch.tensor([[10, 11, 2], [12, 0, 0]]), torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])


def test_answers_stand_behind_their_prompts():
    texts = Answered.joined(*PROMPTS, *ANSWERS)
    assert texts.input_ids.tolist() == [[0, 5, 6, 10, 11, 2], [7, 8, 9, 12, 0, 0]]
    assert texts.attention_mask.tolist() == [[0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]
    assert texts.answer_lengths.tolist() == [3, 1]
    assert texts.lengths.tolist() == [5, 4]


def test_left_aligned_rows_say_where_their_answers_are():
    texts = Answered.joined(*PROMPTS, *ANSWERS).left_aligned()
    assert texts.input_ids.tolist() == [[5, 6, 10, 11, 2, 0], [7, 8, 9, 12, 0, 0]]
    assert texts.in_answer().long().tolist() == [[0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 0, 0]]


def test_trimmed_rows_are_as_long_as_the_longest_of_them():
    texts = Answered.joined(*PROMPTS, *ANSWERS).left_aligned().rows(torch.tensor([1, 1])).trimmed()
    assert texts.input_ids.tolist() == [[7, 8, 9, 12]] * 2
    assert texts.attention_mask.tolist() == [[1, 1, 1, 1]] * 2
    assert texts.answer_lengths.tolist() == [1, 1]


def test_repeats_are_tokens_that_end_a_run_said_before_in_the_answer():
    rows = [
        [5, 6, 7, 5, 6, 7, 8, 5, 6, 7, 8],  # an answer of 8: 5 6 7 and 6 7 8 come again
        [5, 6, 7, 5, 6, 7, 5, 6, 7, 5, 6],  # the same, and it is all the same: each run from the fourth on
        [5, 6, 7, 8, 5, 6, 7, 0, 0, 0, 0],  # what the prompt said, said again in the answer
        [5, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0],  # padding
    ]
    mask = (torch.arange(11)[None] < torch.tensor([11, 11, 7, 2])[:, None]).long()
    texts = Answered(torch.tensor(rows), mask, torch.tensor([8, 11, 3, 1]))
    assert texts.repeats(3).tolist() == [2, 6, 0, 0]
    assert texts.repeats(12).tolist() == [0, 0, 0, 0]
