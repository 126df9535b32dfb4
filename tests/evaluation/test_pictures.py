import pytest

from evaluation.pictures import STYLES, line_plot, matrix_plot, path_plot, point_plot, svg


def test_lines_go_through_their_values_and_are_told_apart_without_colours():
    axes = line_plot({"a": {"x": 1.0, "y": 2.0}, "b": {"y": 4.0, "x": 3.0}}, "where", "what").axes[0]
    assert [list(line.get_ydata()) for line in axes.lines] == [[1.0, 2.0], [3.0, 4.0]]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["x", "y"]
    assert len(set(STYLES)) == len(STYLES) == 12
    with pytest.raises(ValueError, match="must show 1 to 12 series, got 0"):
        line_plot({}, "where", "what")


def test_points_are_named_and_a_front_is_joined_from_left_to_right():
    axes = point_plot({"a": (2.0, 1.0), "b": (1.0, 2.0), "c": (0.5, 0.5)}, "x", "y", ["a", "b"]).axes[0]
    assert {note.get_text(): note.xy for note in axes.texts} == {"a": (2.0, 1.0), "b": (1.0, 2.0), "c": (0.5, 0.5)}
    assert list(axes.lines[-1].get_xdata()) == [1.0, 2.0]
    crowd = point_plot({f"m{n}": (n / 20, n / 20) for n in range(13)}, "x", "y")
    assert [note.get_text() for note in crowd.axes[0].texts] == [str(number) for number in range(1, 14)]
    assert crowd.axes[0].get_legend().get_texts()[-1].get_text() == "13  m12"
    with pytest.raises(ValueError, match="at least one point"):
        point_plot({}, "x", "y")


def test_paths_go_through_their_points_in_order():
    axes = path_plot({"a": [(0.0, 1.0), (2.0, 1.5), (1.0, 3.0)], "b": [(0.5, 0.5)]}, "x", "y").axes[0]
    assert [list(map(tuple, line.get_xydata())) for line in axes.lines] == [[(0, 1), (2, 1.5), (1, 3)], [(0.5, 0.5)]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    with pytest.raises(ValueError, match="must show 1 to 12 series, got 13"):
        path_plot({str(n): [(0.0, 0.0)] for n in range(13)}, "x", "y")


def test_a_matrix_writes_rows_downwards_and_leaves_its_diagonal_free():
    axes = matrix_plot(["a", "b"], [[0.0, 0.75], [0.25, 0.0]], "who").axes[0]
    assert {note.get_position(): note.get_text() for note in axes.texts} == {(1, 0): "75", (0, 1): "25"}
    with pytest.raises(ValueError, match=r"2 rows and columns, got \[2\]"):
        matrix_plot(["a", "b"], [[0.0, 1.0]], "who")


def test_equal_pictures_are_equal_texts_that_need_nothing_beside_them():
    one, other = (svg(point_plot({"a": (2.0, 1.0)}, "x", "y")) for _ in range(2))
    assert one == other
    assert one.startswith("<svg")
    assert ">a</text>" in one.replace("\n", "")
