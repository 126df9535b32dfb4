import json
import stat

import pytest

from pcm.preference import Preference
from pcm.users.evidence import Choice, OwnText
from pcm.users.profile import Axis, Profile, folder_of_users, load_profile, merged, path_of

PROMPT = [{"role": "user", "content": "What is a bee?"}]
CHOICE = Choice(PROMPT, "A bee.", "An insect – größer.", chosen_was_left=True)
TEXT = OwnText("I like bees.", PROMPT)
ADA = Profile(
    "ada", (CHOICE,), (TEXT,), {"easy": -0.5}, {"easy": Axis(-1.0, 0.25)}, ("a doubt",), {"bundle": "abc"}, "Easy!"
)


def test_a_profile_comes_back_as_it_was_saved_and_only_its_owner_reads_it(tmp_path):
    path = ADA.save(tmp_path / "users")
    assert load_profile("ada", tmp_path / "users") == ADA
    assert load_profile(str(path)) == ADA
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    Profile("ada").save(tmp_path / "users")
    assert load_profile("ada", tmp_path / "users") == Profile("ada")
    assert [file.name for file in path.parent.iterdir()] == ["ada.json"]


def test_profiles_lie_in_the_data_folder_of_the_user_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv("MEDLEY_USERS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert folder_of_users() == tmp_path / "medley" / "users"
    monkeypatch.setenv("MEDLEY_USERS", str(tmp_path / "here"))
    assert path_of("ada") == tmp_path / "here" / "ada.json"


def test_a_user_without_a_profile_is_told_who_has_one(tmp_path):
    ADA.save(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"got 'bob' without .*bob.json \(there: ada\)"):
        load_profile("bob", tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[: len(content) // 2], "must be a profile"),
        (lambda content: content.replace('"schema": 1', '"schema": 99'), "schema must be 1, got 99"),
        (lambda content: content.replace('"mean"', '"median"'), "mean"),
        (lambda content: content.replace('"chosen"', '"picked"'), "got none of chosen"),
        (lambda content: content.replace("-0.5", '"much"'), "could not convert"),
        (lambda content: json.dumps([1, 2]), "schema must be 1, got 'list'"),
    ],
)
def test_a_damaged_or_foreign_profile_is_refused_by_name(tmp_path, damage, message):
    path = ADA.save(tmp_path)
    path.write_text(damage(path.read_text("utf-8")), "utf-8")
    with pytest.raises(ValueError, match=message) as refused:
        load_profile("ada", tmp_path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("name", ["", "../ada", "a/b", "..", "a b"])
def test_a_name_that_is_no_file_s_is_refused(name):
    with pytest.raises(ValueError, match="a user's name must be"):
        Profile(name)


def test_merged_profiles_hold_each_choice_once():
    other = Choice(PROMPT, "Buzz.", "A bee.")
    both = merged("both", [ADA, Profile("bob", (other, CHOICE))])
    assert both == Profile("both", (CHOICE, other), (TEXT,), wish="Easy!")
    assert merged("both", [ADA, Profile("bob", wish="Hard!")]).wish is None


def test_a_profile_asks_for_its_weights_or_for_nothing():
    assert ADA.preference.weights == {"easy": -0.5}
    assert Profile("new").preference is None


def test_a_profile_from_before_there_were_texts_is_read(tmp_path):
    path = ADA.save(tmp_path)
    content = json.loads(path.read_text())
    del content["texts"], content["wish"]
    path.write_text(json.dumps(content))
    old = load_profile("ada", tmp_path)
    assert (old.texts, old.wish, old.choices) == ((), None, ADA.choices)


def test_a_profile_asks_with_its_weights_and_its_words():
    assert ADA.preference == Preference("Easy!", {"easy": -0.5})
    assert Profile("ada", wish="Easy!").preference == Preference("Easy!")
    assert Profile("ada", weights={"easy": 0.0}).preference is None


def test_a_text_that_was_kept_is_the_text_that_is_read_again(tmp_path):
    new = Profile("ada", texts=(OwnText("I like bees."),))
    new.save(tmp_path)
    assert len(merged("ada", [load_profile("ada", tmp_path), new]).texts) == 1


def test_merging_keeps_each_text_once():
    both = merged("both", [ADA, Profile("bob", texts=(TEXT, OwnText("Me too.")))])
    assert [text.text for text in both.texts] == ["I like bees.", "Me too."]
