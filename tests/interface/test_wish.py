import pytest

from interface.wish import parsed_weights, wish


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
