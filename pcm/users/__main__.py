"""Learns what a user prefers from a few choices between answers, and keeps it in a profile that decoding follows.

    python -m pcm.users ask ada                                    # two answers side by side: which is better?
    python decode.py "What is a volcano?" --user ada
    python -m pcm.users learn --log choices.jsonl                  # rows {"user", "prompt", "chosen", "rejected"}
    python -m pcm.users show ada          python -m pcm.users forget ada

Profiles lie in the user's own data folder (or where MEDLEY_USERS says), readable by their owner alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from jsonargparse import auto_cli
from rich.console import Console
from rich.progress import track
from torch import Tensor

import bundle as bundles
from comparison.command import exit_status
from decoding.conversation import Conversation
from decoding.sampling import Sampling
from experts.names import listed
from experts.prompts import answered, read_prompts
from experts.rewards import RewardModels
from mixture import Mixture
from pcm.preference import Preference
from pcm.users.axes import QUALITY, Axes
from pcm.users.belief import Belief
from pcm.users.evidence import read_log
from pcm.users.interview import Interview, belief_table
from pcm.users.learning import Learner, Score
from pcm.users.profile import Profile, load_profile, merged, path_of
from pcm.users.question import read_questions, write_questions

SHIPPED = Path(__file__).parents[2] / "bundles" / "miniature"
QUESTIONS = "questions.jsonl"
BATCH = 16  # prompts that are answered side by side


def ask(
    name: str,
    *,
    bundle: str = str(SHIPPED),
    questions: Path | None = None,
    most: int | None = None,
    prior_scale: float = 1.0,
) -> None:
    """Ask a user which of two answers is better, again and again, each time about the pair that tells most.

    Args:
        name: The user's; answers are added to the profile of this name.
        bundle: Folder or hub id of a bundle with reward models.
        questions: File of prompts with answers, as `prepare` writes it; the bundle's own if not given.
        most: Stop after this many answers in all.
        prior_scale: How far tastes are expected to lie from nothing, in logits a unit of an axis.
    """
    folder = bundles.locate(bundle)
    asked = read_questions(questions or folder / QUESTIONS)
    console = Console(highlight=False)
    with console.status("reading the bundle"):
        interview = Interview(profile_of(name), learner_of(folder, prior_scale), asked, Profile.save, console)
    console.print("Which answer would you rather get?")
    profile = interview.run(most)
    if profile.choices:
        console.print(f"{len(profile.choices)} answers are kept in {path_of(name)}. Try: decode.py --user {name}")


def learn(
    *,
    log: Path | None = None,
    name: str | None = None,
    bundle: str = str(SHIPPED),
    prior_scale: float = 1.0,
) -> None:
    """Learn profiles from a log of choices, or anew from the evidence that a profile holds.

    Args:
        log: JSONL rows {"user", "prompt", "chosen", "rejected"}; a prompt is a text or a list of messages. Choices that
            a profile holds already are not counted twice.
        name: Only this user; without a log, the profile that is learned anew.
        bundle: Folder or hub id of a bundle with reward models.
        prior_scale: As in `ask`.
    """
    if log is None and name is None:
        raise ValueError("learning needs a --log, a --name or both, got neither")
    heard = read_log(log, name) if log is not None else {str(name): []}
    learner = learner_of(bundles.locate(bundle), prior_scale)
    console = Console(highlight=False)
    for user, choices in heard.items():
        profile = learner.learned(merged(user, [profile_of(user), Profile(user, tuple(choices))]))
        console.print(f"{user}: {len(profile.choices)} choices, kept in {profile.save()}")
        console.print(belief_table(profile, learner.axes))


def show(name: str) -> None:
    """Show what is believed of a user.

    Args:
        name: The user's, or a profile's file.
    """
    profile = load_profile(name)
    console = Console(highlight=False)
    console.print(f"{profile.name}: {len(profile.choices)} choices")
    for axis, belief in profile.belief.items():
        console.print(f"  {axis:<16} {belief.mean:+.2f} ± {belief.deviation:.2f}")
    asked = ", ".join(f"{pole}={weight:+.2f}" for pole, weight in profile.weights.items())
    console.print(f"asks for: {asked or 'nothing in particular'}")
    for doubt in profile.doubts:
        console.print(f"doubt: {doubt}")


def forget(name: str) -> None:
    """Delete a user's profile with all its evidence, a damaged one too.

    Args:
        name: The user's.
    """
    path = path_of(name)
    if not path.is_file():
        load_profile(name)  # says who has one
    path.unlink()
    Console(highlight=False).print(f"{path} is deleted")


def merge(names: list[str] | str, *, into: str, bundle: str = str(SHIPPED), prior_scale: float = 1.0) -> None:
    """Join the evidence of several profiles in one, and learn from all of it.

    Args:
        names: Users, or profiles' files, a list or `one,another`.
        into: The name of the profile that is written.
        bundle: Folder or hub id of a bundle with reward models.
        prior_scale: As in `ask`.
    """
    profile = merged(into, [load_profile(name) for name in listed(names) or []])
    profile = learner_of(bundles.locate(bundle), prior_scale).learned(profile)
    Console(highlight=False).print(f"{len(profile.choices)} choices, kept in {profile.save()}")


def prepare(
    prompts: Path,
    output: Path,
    *,
    bundle: str = str(SHIPPED),
    count: int = 48,
    answers: int = 4,
    temperature: float = 0.7,
    max_new_tokens: int = 112,
    seed: int = 0,
) -> None:
    """Write prompts with answers that differ, for users to choose between.

    Args:
        prompts: JSONL rows {"messages"}.
        output: The file of questions; beside bundle.json and called questions.jsonl, `ask` finds it.
        bundle: Folder or hub id of a bundle.
        count: How many of the prompts.
        answers: To each of them, every one for another draw of what is asked for.
        temperature: Of the answers.
        max_new_tokens: Longest answer.
        seed: Of the draws.
    """
    mixture = Mixture.load(bundle)
    generator = torch.Generator().manual_seed(seed)
    asked = read_prompts(prompts)
    chosen = [asked[place] for place in torch.randperm(len(asked), generator=generator)[:count].tolist()]
    conversations = [prompt for prompt in chosen for _ in range(answers)]
    wishes = [Preference(weights=drawn_weights(mixture, generator)) for _ in conversations]
    sampling = Sampling(temperature=temperature, max_new_tokens=max_new_tokens)
    texts: list[str] = []
    for start in track(range(0, len(conversations), BATCH), description="Answering"):
        part = slice(start, start + BATCH)
        seeds = range(seed + start, seed + start + len(conversations[part]))
        texts += [said.text for said in mixture.generate(conversations[part], wishes[part], sampling, seeds)]
    rows = [(prompt, texts[place * answers :][:answers]) for place, prompt in enumerate(chosen)]
    write_questions(output, rows)


def bench(
    *,
    bundle: str = str(SHIPPED),
    output: Path = Path("build/users"),
    users: int = 200,
    log_users: int = 100,
    seeds: int = 3,
) -> None:
    """Measure on simulated users of the miniature world how well they are known, and how well answers please them.

    Args:
        bundle: A bundle of the miniature world.
        output: Gets users.json, users.md and a plot.
        users: Of each seed.
        log_users: Others, from whose choices bases are learned.
        seeds: Of users, answers and noise.
    """
    from comparison.users.bench import bench as measure  # what measures needs the extra `train`

    measure(bundles.locate(bundle), output, users=users, log_users=log_users, seeds=seeds)


def drawn_weights(mixture: Mixture, generator: torch.Generator) -> dict[str, float]:
    """A preference drawn at random: each axis asked for one way, the other way or not at all, never nothing."""
    poles = Axes(mixture.dimensions).poles
    while True:
        signs = torch.randint(-1, 2, (len(poles),), generator=generator).tolist()
        drawn = {pole: float(sign) for (pole, other), sign in zip(poles, signs, strict=True) if sign > 0 or other}
        if any(drawn.values()):
            return drawn


def profile_of(name: str) -> Profile:
    """The user's profile, or a new one."""
    return load_profile(name) if path_of(name).is_file() else Profile(name)


def learner_of(folder: Path, prior_scale: float) -> Learner:
    """What learns tastes by a bundle's reward models.

    Raises:
        FileNotFoundError: If the bundle has none.
    """
    manifest = bundles.read_manifest(folder)
    axes = Axes(manifest.dimensions)
    before = Belief.before(len(axes.names), prior_scale)
    judge = f"bundle {bundles.sha256(folder / bundles.MANIFEST)[:12]}"
    return Learner(axes, scorer(folder, manifest, axes), before, judge)


def scorer(folder: Path, manifest: bundles.Manifest, axes: Axes) -> Score:
    """What scores answers: the bundle's reward models.

    Raises:
        FileNotFoundError: If the bundle has none.
    """
    if not (folder / "rewards" / QUALITY).is_dir():
        raise FileNotFoundError(f"a bundle must have reward models to learn from choices, {folder} has none")
    base, tokenizer = bundles.read_base(folder, manifest, torch.float32)
    rewards = RewardModels.load(folder / "rewards", base)

    def score(prompts: Sequence[Conversation], answers: Sequence[str]) -> Tensor:
        conversations = [[dict(turn) for turn in prompt] for prompt in prompts]
        return rewards.score(answered(tokenizer, conversations, list(answers)), axes.scores)

    return score


if __name__ == "__main__":
    commands = partial(auto_cli, [ask, learn, show, forget, merge, prepare, bench], prog="python -m pcm.users")
    raise SystemExit(exit_status(commands, "stopped; every answer that was given is kept"))
