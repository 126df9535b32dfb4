"""The reader's texts: all that is written, and nothing of what it is calibrated on among what it learns from."""

import json

from experts.miniature.data import preference_examples, reader_phrasings, write_data, written_asks
from experts.miniature.world import dimension_data, wishes

DIMENSIONS = dimension_data()["dimensions"]


def test_every_further_text_is_learned_from_or_calibrated_on_and_none_is_both():
    train, validation = ({ask.text for ask in written_asks(split)} for split in ("train", "validation"))
    assert train.isdisjoint(validation)
    assert train | validation == {one.text for one in wishes()} | {
        text for entry in DIMENSIONS.values() for text in entry["phrasings"]
    }
    assert 0.03 < len(validation) / len(train) < 0.06


def test_written_texts_ask_for_what_they_were_written_to_ask_for():
    told = {one.text: set(one.asked) for one in wishes()}
    told |= {text: {name} for name, entry in DIMENSIONS.items() for text in entry["phrasings"]}
    assert all(set(ask.asked) == told[ask.text] for split in ("train", "validation") for ask in written_asks(split))


def test_combined_texts_are_made_of_the_phrasings_of_their_split():
    for split in ("train", "validation"):
        phrasings = reader_phrasings(split)
        for ask in preference_examples(100, split, seed=0):
            for name in ask.asked:
                assert any(text in ask.text for text in phrasings[name])


def test_the_files_hold_what_is_written_and_what_is_combined(tmp_path):
    write_data(tmp_path, preferences=100)
    for split, count in (("train", 100), ("validation", 5)):
        lines = (tmp_path / "preferences" / f"{split}.jsonl").read_text("utf-8").splitlines()
        assert len(lines) == len(written_asks(split)) + count
        assert {ask.text for ask in written_asks(split)} <= {json.loads(line)["text"] for line in lines}
