import pytest

from interface.wish import instead, parsed_weights, wish
from pcm.preference import Preference
from pcm.users.profile import Profile


def test_nothing_typed_is_no_preference() -> None:
    assert wish(None, None) is None


def test_text_and_weights_may_be_typed_together() -> None:
    preference = wish("be warm", " concise = 0.5,friendly=-1")
    assert preference is not None
    assert (preference.text, preference.weights) == ("be warm", {"concise": 0.5, "friendly": -1.0})


@pytest.mark.parametrize("text", ["", "friendly", "friendly=", "=1", "friendly=warm", "a=1,a=2", "a=1,,b=2", "a=1=2"])
def test_weights_that_are_no_names_with_numbers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be written name=number"):
        parsed_weights(text)


def test_a_user_s_profile_is_the_wish(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDLEY_USERS", str(tmp_path))
    Profile("ada", weights={"friendly": -0.5}).save()
    profile = Preference(weights={"friendly": -0.5})
    assert wish(None, None, "ada") == Preference(usual=profile)
    assert wish("be brief", "expert=1", "ada") == Preference("be brief", {"expert": 1.0}, profile)
    with pytest.raises(FileNotFoundError, match=r"got 'eve' without .* \(there: ada\)"):
        wish(None, None, "eve")


def test_another_wish_leaves_what_is_usual():
    profile = Preference(weights={"friendly": -0.5})
    assert instead(Preference("be brief"), None) == Preference("be brief")
    assert instead(Preference("be brief"), Preference("be long", usual=profile)) == Preference(
        "be brief", usual=profile
    )


def test_a_profile_that_is_sure_of_nothing_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDLEY_USERS", str(tmp_path))
    Profile("coin", doubts=("they throw a coin",)).save()
    with pytest.warns(UserWarning, match=r"coin asks for nothing in particular \(they throw a coin\)"):
        assert wish(None, None, "coin") is None
