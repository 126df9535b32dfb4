import sys
import time

import pytest

from comparison.bench.training.turns import Trainee

SPEAKS = """
import sys
from comparison.bench.training.turns import Turns
turns = Turns()
print("chatter")
turns.done(version="1")
for update in range(2):
    turns.done(update=update)
open(sys.argv[1], "w").write("saved")
"""


@pytest.fixture
def start(tmp_path):
    """Starts trainees that run a text, and ends them."""
    started = []

    def starts(text):
        command = [sys.executable, "-c", text, str(tmp_path / "saved")]
        started.append(Trainee("ant", command, tmp_path / "logs" / "ant.log", {"ANT": "6"}))
        return started[-1]

    yield starts
    for trainee in started:
        trainee.stop()


def test_a_trainee_does_a_turn_whenever_it_is_asked_and_saves_in_the_end(start, tmp_path):
    trainee = start(SPEAKS)
    trainee.arrive()
    trainee.turn()
    time.sleep(0.1)  # in which it could do another turn
    assert trainee.told == [{"version": "1"}, {"update": 0}]
    trainee.turn()
    assert trainee.told[-1] == {"update": 1}
    assert not (tmp_path / "saved").exists()
    trainee.finish()
    assert (tmp_path / "saved").read_text() == "saved"


def test_what_else_it_prints_goes_to_its_log(start, tmp_path):
    trainee = start(SPEAKS)
    trainee.arrive()
    trainee.turn()
    trainee.turn()
    trainee.finish()
    assert (tmp_path / "logs" / "ant.log").read_text() == "chatter\n"


def test_a_trainee_that_fails_is_told_with_its_last_words(start):
    told = r"ant must train to its end, got 'ValueError: no legs': .*ant.log has all it printed"
    with pytest.raises(ChildProcessError, match=told):
        start("raise ValueError('no legs')").arrive()
    trainee = start(SPEAKS.replace("update=update", "update=1 // (1 - update)"))
    trainee.arrive()
    trainee.turn()
    with pytest.raises(ChildProcessError, match="got 'ZeroDivisionError"):
        trainee.turn()


def test_a_trainee_that_fails_to_save_has_failed(start):
    trainee = start(SPEAKS.replace("sys.argv[1]", "'/no/such/folder'"))
    trainee.arrive()
    trainee.turn()
    trainee.turn()
    with pytest.raises(ChildProcessError, match="No such file"):
        trainee.finish()


def test_a_trainee_has_the_variables_it_is_given(start):
    trainee = start(SPEAKS.replace('version="1"', 'legs=__import__("os").environ["ANT"]'))
    trainee.arrive()
    assert trainee.told == [{"legs": "6"}]
