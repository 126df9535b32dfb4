"""The world: enough of it, in sentences that differ, with axes that meet in the same tokens."""

import random
import re

from experts.miniature.corpus import combinations
from experts.miniature.grammar import Speaker, Style
from experts.miniature.world import REGISTERS, TONES, phrases, tone_words, topics

FUNCTION_WORDS = re.findall(
    r"\w+",
    """a an the of to in on at by for with from and or but as is are was were be been it its they their them this that
    these those which who where when while than then so into over up down out off can may has have had do does one no
    not only each every some many more most all any such if because through between after before around without you we
    us i he she his her our your themselves itself""",
)


def content_words(text: str) -> list[str]:
    return [word for word in re.findall(r"[a-z'-]+", text.lower()) if word not in FUNCTION_WORDS]


def test_there_are_eighty_topics_from_six_fields_with_four_facts_in_each_register():
    assert len(topics()) >= 80
    assert len({topic.field for topic in topics()}) >= 6
    assert all(len(topic.facts[register]) >= 4 and topic.others for topic in topics() for register in REGISTERS)
    assert len({topic.name for topic in topics()}) == len(topics())
    assert len(phrases().questions) >= 12


def test_no_two_sentences_of_the_world_are_the_same():
    texts = [s.filled((tone,) * len(s.slots)) for topic in topics() for s in topic.sentences for tone in (0, 1)]
    assert len(set(texts)) == len(texts)


def test_sentences_have_many_shapes():
    openings = {" ".join(s.filled((0,) * len(s.slots)).split()[:2]) for topic in topics() for s in topic.sentences}
    assert len(openings) > 250


def test_every_sentence_has_room_for_a_tone_and_both_tones_differ():
    for topic in topics():
        for sentence in topic.sentences:
            assert len(sentence.slots) >= 2
            assert all(friendly != unfriendly for friendly, unfriendly in sentence.slots)


def test_tone_words_of_one_register_do_not_belong_to_the_other():
    by_register = {r: {w for w, tone_word in tone_words().items() if tone_word.register == r} for r in REGISTERS}
    assert not by_register["elementary"] & by_register["expert"]
    assert {tone_word.kind for tone_word in tone_words().values()} == {
        "adjective",
        "adverb",
        "adjective behind an article",
    }


def test_thirty_percent_of_content_tokens_depend_on_two_axes():
    """Words of tone slots and toned phrases change with the tone and, standing elsewhere, with the register."""
    rng = random.Random(0)
    toned = [p for kind in phrases().toned.values() for r in REGISTERS for t in TONES for p in kind[r][t]]
    two_axes = total = 0
    for combination in combinations() * 40:
        answer = Speaker(Style.draw(rng).towards(combination), rng).answer(rng.choice(topics()))
        total += len(content_words(answer))
        for phrase in sorted(toned, key=len, reverse=True):
            two_axes += len(content_words(phrase)) * answer.count(phrase)
            answer = answer.replace(phrase, " ")
        two_axes += sum(word in tone_words() or f"a {word}" in tone_words() for word in content_words(answer))
    assert two_axes / total >= 0.30


def test_one_answer_can_stand_anywhere_between_two_poles():
    rng = random.Random(0)
    answers = [Speaker(Style(tone=0.5, length=1.0), rng).answer(topics()[0]) for _ in range(20)]
    mixed = [any(w in a.split() for w in ("nasty", "dull", "ugly", "rudely", "crude", "dismal")) for a in answers]
    assert any(mixed)
