"""Makes a soup of experts and saves it as an ordinary PEFT adapter, for servers that know only adapters.

    python -m experts.soup --weights '{"friendly": 0.5, "concise": 0.5}' --output build/soup
    python -m experts.soup --base MODEL --experts '{"a": "DIR", "b": "DIR"}' --weights '{"a": 1, "b": 1}' --output DIR

The finished folder is read again and held against the exact sum of the experts' updates; a soup that promises the sum
and is not it is an error, and nothing is left behind.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from jsonargparse import auto_parser
from rich.console import Console
from transformers import AutoModelForCausalLM

import bundle as bundles
from experts.adapters import Adapter, read_adapter, write_adapter
from experts.bank import ExpertBank
from experts.soup.check import Finding, checked
from experts.soup.recipes import recipe_named


def make_soup(
    output: Path,
    weights: dict[str, float],
    recipe: str = "exact",
    density: float | None = None,
    bundle: str = "bundles/miniature",
    base: str | None = None,
    experts: dict[str, str] | None = None,
) -> Finding:
    """Saves a soup, and gives how far its update is from the exact sum.

    Args:
        output: Folder of the adapter, new or empty.
        weights: Of each expert by name, any finite numbers.
        recipe: exact, factors, ties or dare.
        density: Share of the entries that ties and dare keep; None is their own.
        bundle: Its base and experts, unless base and experts are given.
        base: Folder or hub id of the model that the experts were trained on.
        experts: PEFT folder or hub id of each expert, by name.

    Raises:
        ValueError: If something does not fit, or the soup is not what its recipe promises.
        FileExistsError: If the output holds something.
    """
    if output.exists() and any(output.iterdir()):
        raise FileExistsError(f"the output must be a new or empty folder, {output} holds something")
    chosen, bank = recipe_named(recipe, density), _bank(bundle, base, experts)
    with torch.no_grad():
        write_adapter(output, Adapter(*chosen.cook(bank, weights)), fan_in_fan_out=bank.fan_in_fan_out)
        written = read_adapter(output)
        found = checked(bank, weights, written.config, written.state, chosen.exact)
    if found.broken:
        shutil.rmtree(output)
        raise ValueError(f"the soup's update must be the sum of its experts', got an error of {found.error:.2g}")
    return found


def _bank(bundle: str, base: str | None, experts: Mapping[str, str] | None) -> ExpertBank:
    """The experts of a bundle, or those that are given."""
    if (base is None) != (experts is None):
        raise ValueError(f"base and experts must be given together, got base {base} and experts {experts}")
    if base is not None and experts is not None:
        return ExpertBank.load(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), experts)
    folder = bundles.locate(bundle)
    manifest = bundles.read_manifest(folder)
    model, _ = bundles.read_base(folder, manifest, torch.float32)
    return ExpertBank.load(model, {one.name: folder / "experts" / one.name for one in manifest.dimensions})


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    given = auto_parser(make_soup, as_positional=False).parse_args(arguments)
    try:
        found = make_soup(**{name: value for name, value in vars(given).items() if name != "config"})
    except (ValueError, FileNotFoundError, FileExistsError) as problem:
        Console(stderr=True).print(str(problem), markup=False, soft_wrap=True)
        return 1
    rank = read_adapter(given.output).config.rank
    Console().print(f"{given.output}: rank {rank}, {found.error:.2g} away from the sum of the updates (relative)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
