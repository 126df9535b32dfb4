import json
from types import SimpleNamespace

import torch
from test_rewards import word_tokenizer
from tiny_exam import tiny_exam

from experts.progress import AnswerLog


def test_one_answer_of_every_expert_is_logged_at_first_and_then_every_so_many_updates(tmp_path):
    exam, trainer = tiny_exam(("ant", "bee")), SimpleNamespace(is_global_zero=True)
    batch = torch.tensor([4, 1])
    answers = exam.sit(batch, [torch.Generator().manual_seed(seed) for seed in range(2)])
    log = AnswerLog(tmp_path / "answers.jsonl", word_tokenizer(), ("ant", "bee"), every=3)
    for update in range(7):
        log.on_train_batch_end(trainer, None, {"answers": answers}, batch, update)
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [(row["update"], row["expert"]) for row in rows] == [(n, name) for n in (1, 3, 6) for name in ("ant", "bee")]
    told = [row["reward"] for row in rows[:2]]
    assert told == [round(float(answers.own[row]), 3) for row in (0, 2)]
    assert rows[0]["prompt"] == rows[1]["prompt"] == word_tokenizer().decode(exam.prompts[4])
    trainer.is_global_zero = False
    log.on_train_batch_end(trainer, None, {"answers": answers}, batch, 8)
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 6
