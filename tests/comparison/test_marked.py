import pytest

from comparison.marked import rewrite, with_section

BEGIN, END = "<!-- results -->", "<!-- /results -->"


def test_only_the_section_changes():
    assert with_section(f"a\n{BEGIN}\nold\n{END}\nb\n", "results", "new\n") == f"a\n{BEGIN}\nnew\n{END}\nb\n"
    assert with_section(f"{BEGIN}{END}", "results", "new") == f"{BEGIN}\nnew\n{END}"


@pytest.mark.parametrize("page", ["nothing", f"{END} {BEGIN}", f"{BEGIN} {BEGIN} {END}", BEGIN])
def test_a_page_without_its_section_is_refused(page):
    with pytest.raises(ValueError, match="the page must hold"):
        with_section(page, "results", "new")


def test_checking_writes_nothing_and_writing_makes_the_check_pass(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"{BEGIN}{END}")
    assert not rewrite(path, "results", "new", check=True)
    assert path.read_text() == f"{BEGIN}{END}"
    assert not rewrite(path, "results", "new", check=False)
    assert rewrite(path, "results", "new", check=True)
