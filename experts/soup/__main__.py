"""Makes a soup of experts and saves it as an ordinary PEFT adapter, for servers that know only adapters.

    python -m experts.soup --weights '{"friendly": 0.5, "concise": 0.5}' --output build/soup
    python -m experts.soup --preference '{"friendly": 1, "concise": 1}' --prompts QUESTIONS.jsonl --output build/static
    python -m experts.soup --base MODEL --experts '{"a": "DIR", "b": "DIR"}' --weights '{"a": 1, "b": 1}' --output DIR

Asked for a preference, it takes the weights that the bundle's controller gives its experts on average over its own
answers to the questions: what is left of a controller for servers that know only adapters.
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
from decoding.mistakes import exit_status
from decoding.prompts import read_prompts
from decoding.sampling import Sampling
from experts.adapters import Adapter, read_adapter, write_adapter
from experts.bank import ExpertBank
from experts.soup.check import Finding, checked
from experts.soup.distilled import mean_weights
from experts.soup.recipes import recipe_named
from mixture import Mixture
from pcm.preference import Preference


def make_soup(
    output: Path,
    weights: dict[str, float] | None = None,
    preference: dict[str, float] | None = None,
    prompts: Path | None = None,
    max_new_tokens: int = 112,
    recipe: str = "exact",
    density: float | None = None,
    bundle: str = bundles.SHIPPED,
    base: str | None = None,
    experts: dict[str, str] | None = None,
) -> tuple[Finding, dict[str, float]]:
    """Saves a soup, and gives how far its update is from the exact sum, and the weight of each expert in it.

    Args:
        output: Folder of the adapter, new or empty.
        weights: Of each expert by name, any finite numbers.
        preference: How much is asked for of each dimension, in place of weights: the controller's mean ones are taken.
        prompts: JSONL of the questions over whose answers they are averaged, rows {"messages": [...]}.
        max_new_tokens: The most tokens of such an answer.
        recipe: exact, factors, ties or dare.
        density: Share of the entries that ties and dare keep; None is their own.
        bundle: Its base and experts, unless base and experts are given.
        base: Folder or hub id of the model that the experts were trained on.
        experts: PEFT folder or hub id of each expert, by name.

    Raises:
        ValueError: If something does not fit, or the soup is not what its recipe promises.
        FileExistsError: If the output holds something.
        FileNotFoundError: If a model or the questions are not there.
    """
    if output.exists() and any(output.iterdir()):
        raise FileExistsError(f"the output must be a new or empty folder, {output} holds something")
    chosen = recipe_named(recipe, density)
    with torch.no_grad():
        if weights is not None and preference is None and prompts is None:
            bank, parts = _bank(bundle, base, experts), dict(weights)
        elif weights is None and preference is not None and prompts is not None and base is None and experts is None:
            bank, parts = _averaged(bundle, preference, prompts, max_new_tokens)
        else:
            raise ValueError("a soup needs either weights, or a preference with prompts and a bundle")
        write_adapter(output, Adapter(*chosen.cook(bank, parts)), fan_in_fan_out=bank.fan_in_fan_out)
        written = read_adapter(output)
        found = checked(bank, parts, written.config, written.state, chosen.exact)
    if found.broken:
        shutil.rmtree(output)
        raise ValueError(f"the soup's update must be the sum of its experts', got an error of {found.error:.2g}")
    return found, parts


def _averaged(
    bundle: str, preference: dict[str, float], prompts: Path, max_new_tokens: int
) -> tuple[ExpertBank, dict[str, float]]:
    """The experts of a bundle, and its controller's mean weights of those that are asked for."""
    mixture = Mixture.load(bundle)
    if mixture.pcm is None or not isinstance(mixture.bank, ExpertBank):
        raise ValueError(f"the bundle must have a controller over adapters, {bundle} has none")
    conversations, wanted = read_prompts(prompts), mixture.asked(Preference(weights=preference))
    sampling = Sampling(max_new_tokens=max_new_tokens)
    return mixture.bank, mean_weights(mixture, conversations, wanted, sampling, range(len(conversations)))


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
    settings = {name: value for name, value in vars(given).items() if name != "config"}
    return exit_status(lambda: _tell(given.output, *make_soup(**settings)))


def _tell(output: Path, found: Finding, parts: Mapping[str, float]) -> None:
    """Prints what was made: where it is, what is in it, and how exact it is."""
    rank = read_adapter(output).config.rank
    listed = ", ".join(f"{weight:.3g} {name}" for name, weight in parts.items())
    told = f"{output}: {listed}; rank {rank}, {found.error:.2g} away from the sum of the updates (relative)"
    Console().print(told, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    raise SystemExit(main())
