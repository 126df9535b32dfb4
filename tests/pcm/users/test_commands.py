import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tastes import PROMPT, easier, learner, questions, written

from pcm.users import __main__ as commands
from pcm.users.profile import Profile, load_profile
from pcm.users.question import read_questions, write_questions

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDLEY_USERS", str(tmp_path / "users"))
    monkeypatch.setattr(commands, "learner_of", lambda folder, prior_scale, profiles=(): learner())
    return tmp_path / "users"


def log(path, **wants):
    """A log of users who want it easy, 1, or hard, 0."""
    rows = []
    for user, easy in wants.items():
        for question in questions(10):
            choice = question.choice(float(easier(question) == easy))
            rows.append({"user": user, "prompt": PROMPT, "chosen": choice.chosen, "rejected": choice.rejected})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_a_log_becomes_a_profile_for_each_user_and_counts_no_choice_twice(tmp_path, capsys):
    path = log(tmp_path / "log.jsonl", ada=1, bob=0)
    for _ in range(2):
        commands.learn(log=path)
    ada, bob = load_profile("ada"), load_profile("bob")
    assert (ada.weights, bob.weights) == ({"easy": 1.0}, {"easy": -1.0})
    assert len(ada.choices) == len(bob.choices) == 10
    commands.show("ada")
    assert "asks for: easy=+1.00" in capsys.readouterr().out


def test_one_user_of_a_log_leaves_the_others_alone(tmp_path):
    commands.learn(log=log(tmp_path / "log.jsonl", ada=1, bob=0), name="ada")
    with pytest.raises(FileNotFoundError, match=r"there: ada\)"):
        load_profile("bob")


def test_profiles_that_disagree_merge_into_one_that_is_sure_of_nothing(tmp_path):
    commands.learn(log=log(tmp_path / "log.jsonl", ada=1, bob=0))
    commands.merge("ada,bob", into="both")
    both = load_profile("both")
    assert len(both.choices) == 20
    assert both.weights == {}


def test_what_is_forgotten_is_gone(tmp_path, own_folder):
    commands.learn(log=log(tmp_path / "log.jsonl", ada=1))
    commands.forget("ada")
    assert list(own_folder.iterdir()) == []
    with pytest.raises(FileNotFoundError, match="none yet"):
        commands.forget("ada")


def test_a_damaged_profile_can_be_forgotten(own_folder):
    own_folder.mkdir()
    (own_folder / "ada.json").write_text("{")
    with pytest.raises(ValueError, match="must be a profile"):
        commands.show("ada")
    commands.forget("ada")
    assert list(own_folder.iterdir()) == []


def test_only_a_profile_can_be_forgotten(tmp_path, own_folder):
    own_folder.mkdir()
    settings = tmp_path / "settings.json"
    settings.write_text("{}")
    for name in ("../settings", "..", f"{tmp_path}/settings"):
        with pytest.raises(ValueError, match="a user's name must be of letters"):
            commands.forget(name)
    for file in (settings, own_folder / ".." / "settings.json"):
        with pytest.raises(ValueError, match=r"settings\.json must be a profile"):
            commands.forget(str(file))
    assert settings.read_text() == "{}"


def test_a_profile_can_be_forgotten_by_its_file_wherever_it_lies(tmp_path, own_folder, monkeypatch):
    Profile("ada").save()
    Profile("bob").save(tmp_path)
    commands.forget(str(own_folder / "ada.json"))
    monkeypatch.chdir(tmp_path)
    commands.forget("bob.json")
    assert list(tmp_path.rglob("*.json")) == []


def test_own_texts_are_refused_or_told_of_where_a_method_does_not_hear_them(tmp_path, monkeypatch):
    monkeypatch.setattr(commands.Mixture, "load", lambda folder: SimpleNamespace(reader=None))
    reading = replace(learner(), read=lambda texts: [written(200, (0.9,))])
    monkeypatch.setattr(commands, "learner_of", lambda folder, scale, profiles: reading)
    (tmp_path / "mails.txt").write_text("I like bees.\n")
    path = log(tmp_path / "log.jsonl", ada=0, **{f"user{number}": 0 for number in range(20)})
    with pytest.raises(ValueError, match=r"--texts needs the method regression, .* got population"):
        commands.learn(log=path, name="ada", texts=tmp_path / "mails.txt", method="population")
    commands.learn(name="ada", texts=tmp_path / "mails.txt")
    assert load_profile("ada").weights == {"easy": 1.0}
    with pytest.warns(UserWarning, match="population learns from choices alone: the own texts of ada are kept"):
        commands.learn(log=path, name="ada", method="population")
    assert load_profile("ada").weights == {"easy": -1.0}
    assert len(load_profile("ada").texts) == 1


def test_learning_from_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs a --log, a --name or both"):
        commands.learn()
    with pytest.raises(ValueError, match="own texts must be somebody's"):
        commands.learn(texts=tmp_path / "mails.txt")


@pytest.mark.parametrize("method", ["population", "variational", "in-context"])
def test_a_log_of_many_users_teaches_how_to_know_each(tmp_path, monkeypatch, method):
    monkeypatch.setattr(commands.Mixture, "load", lambda folder: SimpleNamespace(reader=None))
    easy = {f"easy{number}": 1 for number in range(10)}
    commands.learn(
        log=log(tmp_path / "log.jsonl", **easy, **{name.replace("easy", "hard"): 0 for name in easy}), method=method
    )
    assert load_profile("easy3").weights == {"easy": 1.0}
    assert load_profile("hard3").weights == {"easy": -1.0}
    assert load_profile("hard3").provenance["method"] == method


@pytest.mark.filterwarnings("ignore:population:UserWarning")
def test_others_in_a_log_may_have_names_that_no_profile_could_have(tmp_path, monkeypatch):
    monkeypatch.setattr(commands.Mixture, "load", lambda folder: SimpleNamespace(reader=None))
    path = log(tmp_path / "log.jsonl", **{"ada": 1, "bob@example.org": 0, "Cid the Third": 0})
    commands.learn(log=path, name="ada", method="population")
    assert load_profile("ada").weights == {"easy": 1.0}


def test_users_of_one_choice_teach_nothing_and_are_known_by_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(commands.Mixture, "load", lambda folder: SimpleNamespace(reader=None))
    path = log(tmp_path / "log.jsonl", ada=1, bob=1)
    row = json.loads(path.read_text("utf-8").splitlines()[0]) | {"user": "cid"}
    path.write_text(path.read_text("utf-8") + json.dumps(row) + "\n", "utf-8")
    with pytest.warns(UserWarning, match="got 2"):
        commands.learn(log=path, method="population")
    assert len(load_profile("cid").choices) == 1
    assert load_profile("cid").weights == {"easy": 1.0}


def test_a_log_of_few_users_is_told_to_be_small(tmp_path, monkeypatch):
    monkeypatch.setattr(commands.Mixture, "load", lambda folder: SimpleNamespace(reader=None))
    path = log(tmp_path / "log.jsonl", ada=1, bob=0)
    with pytest.warns(UserWarning, match="20 would be a beginning, got 2"):
        commands.learn(log=path, method="population")
    with pytest.warns(UserWarning, match="got 2"):
        commands.learn(log=path, name="bob", method="population")
    assert load_profile("bob").weights == {"easy": -1.0}
    with pytest.raises(ValueError, match="two users or more with two choices each, got 1 of them"):
        commands.learn(log=log(tmp_path / "alone.jsonl", ada=1), method="population")
    with pytest.raises(ValueError, match="learns from other users: give their choices as --log"):
        commands.learn(name="ada", method="population")
    with pytest.warns(UserWarning, match="got 2"), pytest.raises(ValueError, match="this bundle has none"):
        commands.learn(log=path, method="tokens")


@pytest.mark.filterwarnings("ignore:population:UserWarning")
def test_a_log_of_one_s_own_is_tried_on_every_way(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(commands.Mixture, "load", lambda folder: SimpleNamespace(reader=None))
    monkeypatch.setattr("comparison.users.logged.get_args", lambda method: ("regression", "population"))
    path = log(tmp_path / "log.jsonl", **{"ada@example.org": 1, "bob b.": 0, "cid": 1, "dan": 0})
    commands.bench(log=path, output=tmp_path / "found", seeds=2)
    report = json.loads((tmp_path / "found" / "log.json").read_text())
    assert report["settings"] == {"users": 4, "left_out": 0, "seeds": 2}
    assert report["lines"]["regression"]["5"]["mean"] > 0.7
    assert "Share of last choices" in capsys.readouterr().out


def test_own_texts_become_a_profile_with_a_wish(tmp_path, monkeypatch, capsys):
    read = lambda texts: [written(200, (0.9,), seed) for seed, _ in enumerate(texts)]  # noqa: E731  # as a bundle reads
    monkeypatch.setattr(commands, "learner_of", lambda folder, scale, profiles: replace(learner(), read=read))
    monkeypatch.setattr(commands, "chat_model", lambda *given: SimpleNamespace(reply=lambda message: "Keep it easy."))
    (tmp_path / "mails.txt").write_text("I like bees.\n\nSo do I.\n")
    commands.learn(texts=tmp_path / "mails.txt", name="ada", writer="some-model")
    ada = load_profile("ada")
    assert ada.weights == {"easy": 1.0}
    assert ada.wish == "Keep it easy."
    assert "ada: 2 own texts" in capsys.readouterr().out
    commands.show("ada")
    assert "wish: Keep it easy." in capsys.readouterr().out


def test_questions_come_back_as_every_pair_of_different_answers(tmp_path):
    write_questions(tmp_path / "q", [(PROMPT, ["a", "b", "a", "c"]), (PROMPT, ["same", "same"])])
    found = read_questions(tmp_path / "q")
    assert {frozenset((question.left, question.right)) for question in found} == {
        frozenset(pair) for pair in ("ab", "ac", "bc")
    }
    (tmp_path / "q").write_text('{"prompt": "x"}\n', "utf-8")
    with pytest.raises(ValueError, match="line 1 of"):
        read_questions(tmp_path / "q")
    with pytest.raises(FileNotFoundError, match=r"pcm\.users prepare"):
        read_questions(tmp_path / "nowhere")


def test_questions_are_written_into_a_folder_that_is_not_there_yet(tmp_path):
    """They are written after hours of answering, which were lost."""
    write_questions(tmp_path / "new" / "folder" / "q", [(PROMPT, ["a", "b"])])
    assert len(read_questions(tmp_path / "new" / "folder" / "q")) == 1


@pytest.mark.slow
def test_the_shipped_bundle_asks_learns_and_follows(own_folder):
    keys = "1\n2\ns\nu\n3\nq\n"
    asked = subprocess.run(
        [sys.executable, "-m", "pcm.users", "ask", "ada"], cwd=ROOT, input=keys, capture_output=True, text=True
    )
    assert asked.returncode == 0, asked.stderr
    assert "2 answers are kept" in asked.stdout
    command = [sys.executable, "decode.py", "What is a volcano?", "--user", "ada", "--json"]
    followed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert followed.returncode == 0, followed.stderr
    assert json.loads(followed.stdout)["preference"]["asked"]
