"""What a comparison takes from a bundle."""

from pathlib import Path

from comparison.cases import bundle_case
from mixture import Mixture


def test_a_bundle_whose_reward_models_judge_only_a_part_has_no_learned_judge(tiny_bundle: Path, tmp_path: Path):
    """Functions and classifiers that trained a controller beside reward models stay outside its bundle."""
    mixture = Mixture.load(tiny_bundle)
    adapter = tiny_bundle / "experts" / "concise"
    for names in (["concise", "quality"], [*mixture.names, "quality"]):
        folder = tmp_path / str(len(names))
        mixture.save(folder, {}, rewards=dict.fromkeys(names, adapter))
        assert bundle_case(str(folder)).rewards == (folder / "rewards" if len(names) == 4 else None)
