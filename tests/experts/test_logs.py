import pytest

from experts.logs import read_logs


def test_logs_are_read_by_expert_and_update_and_the_later_run_counts(tmp_path):
    for version, lines in (
        ("9", ["epoch,step,a+b/kl,a+b/total,rate", "0,1,2.0,,7", "0,0,1.0,0.5,7", "0,2,99.0,99.0,7"]),
        ("10", ["epoch,step,a+b/kl,a+b/total", "0,2,3.0,nan"]),
    ):
        (tmp_path / "logs" / f"version_{version}").mkdir(parents=True)
        (tmp_path / "logs" / f"version_{version}" / "metrics.csv").write_text("\n".join(lines))
    found = read_logs(tmp_path)
    assert list(found) == ["a+b"]
    assert list(found["a+b"]) == [0, 1, 2]
    assert found["a+b"][0] == {"kl": 1.0, "total": 0.5}
    assert found["a+b"][1] == {"kl": 2.0}
    assert found["a+b"][2]["kl"] == 3.0
    with pytest.raises(ValueError, match=r"must hold logs/version_\*/metrics\.csv, got none"):
        read_logs(tmp_path / "elsewhere")
