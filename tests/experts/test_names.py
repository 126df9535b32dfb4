from experts.names import listed


def test_names_come_as_a_list_or_with_commas():
    assert listed("ant, bee") == listed(["ant", "bee"]) == ["ant", "bee"]
    assert listed("ant") == ["ant"]
    assert listed(None) is None
