"""What a command says last, and its exit status."""

import pytest

from decoding.mistakes import exit_status


def raising(problem):
    def work():
        raise problem

    return work


def test_work_that_ends_well_says_nothing(capsys):
    assert exit_status(lambda: "a result", stopped="stopped") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [ValueError, OSError, FileExistsError, NotADirectoryError, UnicodeError])
def test_a_mistake_is_one_line_however_many_its_message_has(kind, capsys):
    assert exit_status(raising(kind("it must be there,\n  got [nothing]"))) == 1
    assert capsys.readouterr() == ("", "it must be there, got [nothing]\n")


def test_what_is_no_mistake_is_raised_unless_a_command_names_it(capsys):
    with pytest.raises(RuntimeError):
        exit_status(raising(RuntimeError("a bug")))
    assert exit_status(raising(RuntimeError("collapsed")), RuntimeError) == 1
    assert capsys.readouterr().err == "collapsed\n"


def test_an_interruption_is_told_of_where_there_is_something_to_tell(capsys):
    assert exit_status(raising(KeyboardInterrupt()), stopped="what is finished is kept") == 130
    assert capsys.readouterr().err == "what is finished is kept\n"
    with pytest.raises(KeyboardInterrupt):
        exit_status(raising(KeyboardInterrupt()))
