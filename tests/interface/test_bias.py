import pytest

from interface.bias import parsed_bias


def test_a_number_is_a_token_and_anything_else_a_text_to_the_letter() -> None:
    assert parsed_bias("1234=-5, warm=2,a=b=0.5") == {1234: -5.0, " warm": 2.0, "a=b": 0.5}


@pytest.mark.parametrize("text", ["", "warm", "warm=", "=1", "warm=very", "a=1,a=2", "a=1,,b=2", "7=1,7=2"])
def test_what_is_no_token_with_a_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be written token=number"):
        parsed_bias(text)
