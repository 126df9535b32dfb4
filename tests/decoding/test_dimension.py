"""Which poles are one axis, whoever of them names the other."""

import pytest

from decoding.dimension import Dimension, axes

WARM, COLD = Dimension("warm", "Warm.", "cold"), Dimension("cold", "Cold.", "warm")
LONE_COLD = Dimension("cold", "Cold.")
SHORT = Dimension("short", "Short.", "long")  # nobody serves the other pole


def test_poles_that_name_each_other_are_one_axis_in_their_order():
    assert axes([WARM, SHORT, COLD]) == [("warm", "cold"), ("short",)]
    assert axes([COLD, SHORT, WARM]) == [("cold", "warm"), ("short",)]


@pytest.mark.parametrize("dimensions", [[WARM, LONE_COLD], [LONE_COLD, WARM]])
def test_one_pole_that_names_its_opposite_is_enough(dimensions: list[Dimension]):
    assert axes([*dimensions, SHORT]) == [("warm", "cold"), ("short",)]


def test_no_pole_is_on_two_axes():
    third = Dimension("kind", "Kind.", "cold")
    assert axes([WARM, COLD, third]) == [("warm", "cold"), ("kind",)]
    assert axes([third, WARM, LONE_COLD]) == [("kind", "cold"), ("warm",)]
