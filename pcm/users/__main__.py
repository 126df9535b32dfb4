"""Learns what a user prefers from a few choices between answers, and keeps it in a profile that decoding follows.

    python -m pcm.users ask ada                                    # two answers side by side: which is better?
    python decode.py "What is a volcano?" --user ada
    python -m pcm.users learn --log choices.jsonl                  # rows {"user", "prompt", "chosen", "rejected"}
    python -m pcm.users learn --name ada --texts mails.txt         # what ada wrote
    python -m pcm.users show ada          python -m pcm.users forget ada

Profiles lie in the user's own data folder (or where MEDLEY_USERS says), readable by their owner alone.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from jsonargparse import auto_cli
from rich.console import Console
from rich.progress import track

import bundle as bundles
from comparison.command import exit_status
from comparison.page import show as show_sheets
from comparison.users.bundled import learner_of
from decoding.prompts import read_prompts
from decoding.sampling import Sampling
from experts.names import listed
from mixture import Mixture
from pcm.chat import chat_model
from pcm.preference import Preference
from pcm.users.axes import Axes
from pcm.users.evidence import read_log, read_texts
from pcm.users.hypotheses import hypothesis
from pcm.users.interview import Interview, belief_table
from pcm.users.learning import Learner, outcomes_of
from pcm.users.networks import Chosen
from pcm.users.profile import Profile, file_of, folder_of_users, load_profile, merged, path_of
from pcm.users.question import read_questions, write_questions
from pcm.users.ways import Log, Method, way_of

BATCH = 16  # prompts that are answered side by side


def ask(
    name: str,
    *,
    bundle: str = bundles.SHIPPED,
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
    asked = read_questions(questions or folder / bundles.QUESTIONS)
    profile, console = profile_of(name), Console(highlight=False)
    with console.status("reading the bundle"):
        interview = Interview(profile, learner_of(folder, prior_scale, [profile]), asked, Profile.save, console)
    console.print("Which answer would you rather get?")
    profile = interview.run(most)
    if profile.choices:
        console.print(f"{len(profile.choices)} answers are kept in {path_of(name)}. Try: decode.py --user {name}")


def learn(
    *,
    log: Path | None = None,
    texts: Path | None = None,
    name: str | None = None,
    method: Method = "regression",
    writer: str | None = None,
    writer_model: str | None = None,
    writer_key: str | None = None,
    bundle: str = bundles.SHIPPED,
    prior_scale: float = 1.0,
) -> None:
    """Learn profiles from a log of choices, from a user's own texts, or anew from the evidence that a profile holds.

    Args:
        log: JSONL rows {"user", "prompt", "chosen", "rejected"}; a prompt is a text or a list of messages. Choices that
            a profile holds already are not counted twice.
        texts: What the user wrote: paragraphs of a text file, or JSONL rows {"text"}, perhaps with the "prompt" they
            answer. Needs a name, and regression.
        name: Only this user, about whom the log's others may tell; without log and texts, learned anew from what the
            profile holds.
        method: From choices to a taste. Regression takes every user by themselves; population takes users to be like
            the log's others (PReF); variational (VPL), in-context (FSPO) and tokens (P-RLHF) learn from the log how to
            know a user.
        writer: A model that follows instructions and puts into words what own texts speak for: folder, hub id, or the
            URL of an endpoint that speaks as OpenAI's does.
        writer_model: As the endpoint calls the model.
        writer_key: The environment variable that holds the endpoint's key.
        bundle: Folder or hub id of a bundle with reward models.
        prior_scale: As in `ask`.
    """
    if texts is not None and method != "regression":
        raise ValueError(f"--texts needs the method regression, the others learn from choices alone, got {method}")
    folder, console = bundles.locate(bundle), Console(highlight=False)
    profiles = [merged(user, [profile_of(user), new]) for user, new in evidence(log, texts, name).items()]
    learner = learner_of(folder, prior_scale, profiles)
    differences = [learner.differences(profile.choices) for profile in profiles]
    if method != "regression":
        learner = replace(learner, way=way_of(method, taught(log, learner, folder)), method=method)
    for profile, shown in zip(profiles, differences, strict=True):
        learned = learner.informed(profile).judged(profile, shown)
        if writer is not None:
            reply = chat_model(writer, writer_model, writer_key).reply
            learned = replace(learned, wish=hypothesis(profile.texts, learner.axes.dimensions, reply))
        console.print(f"{profile.name}: {counted(profile)}, kept in {learned.save()}")
        console.print(belief_table(learned, learner.axes))


def taught(log: Path | None, learner: Learner, folder: Path) -> Log:
    """What all users of a log chose, for ways that learn from others.

    Raises:
        ValueError: If there is no log.
    """
    if log is None:
        raise ValueError("this method learns from other users: give their choices as --log")
    heard = read_log(log).values()  # of users of any name: none of them gets a profile here
    users = [Chosen(learner.differences(one), outcomes_of(one)) for one in track(heard, "Reading choices")]
    return Log(users, learner.axes, learner.before, Mixture.load(folder).reader)


def evidence(log: Path | None, texts: Path | None, name: str | None) -> dict[str, Profile]:
    """What is new about every user.

    Raises:
        ValueError: If nobody is named, or texts are nobody's.
    """
    if texts is not None and name is None:
        raise ValueError("own texts must be somebody's: give a --name")
    if log is None and name is None:
        raise ValueError("learning needs a --log, a --name or both, got neither")
    heard = read_log(log, name) if log is not None else {str(name): []}
    own = tuple(read_texts(texts)) if texts is not None else ()
    return {user: Profile(user, tuple(choices), own) for user, choices in heard.items()}


def counted(profile: Profile) -> str:
    """How much evidence there is."""
    kinds = [(len(profile.choices), "choices"), (len(profile.texts), "own texts")]
    return ", ".join(f"{count} {kind}" for count, kind in kinds if count) or "no evidence"


def show(name: str) -> None:
    """Show what is believed of a user.

    Args:
        name: The user's, or a profile's file.
    """
    profile = load_profile(name)
    console = Console(highlight=False)
    console.print(f"{profile.name}: {counted(profile)}")
    for axis, belief in profile.belief.items():
        console.print(f"  {axis:<16} {belief.mean:+.2f} ± {belief.deviation:.2f}")
    asked = ", ".join(f"{pole}={weight:+.2f}" for pole, weight in profile.weights.items())
    console.print(f"asks for: {asked or 'nothing in particular'}")
    if profile.wish:
        console.print(f"wish: {profile.wish}")
    for doubt in profile.doubts:
        console.print(f"doubt: {doubt}")


def forget(name: str) -> None:
    """Delete a user's profile with all its evidence, a damaged one too where profiles lie.

    Args:
        name: The user's, or a profile's file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a file that lies elsewhere is no profile.
    """
    path = file_of(name)
    if not path.is_file() or path.parent.resolve() != folder_of_users().resolve():
        load_profile(name)  # says who has one, and refuses what is none
    path.unlink()
    Console(highlight=False).print(f"{path} is deleted")


def merge(names: list[str] | str, *, into: str, bundle: str = bundles.SHIPPED, prior_scale: float = 1.0) -> None:
    """Join the evidence of several profiles in one, and learn from all of it.

    Args:
        names: Users, or profiles' files, a list or `one,another`.
        into: The name of the profile that is written.
        bundle: Folder or hub id of a bundle with reward models.
        prior_scale: As in `ask`.
    """
    profile = merged(into, [load_profile(name) for name in listed(names) or []])
    profile = learner_of(bundles.locate(bundle), prior_scale, [profile]).learned(profile)
    Console(highlight=False).print(f"{counted(profile)}, kept in {profile.save()}")


def prepare(
    prompts: Path,
    output: Path,
    *,
    bundle: str = bundles.SHIPPED,
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
    bundle: str = bundles.SHIPPED,
    output: Path = Path("build/users"),
    users: int = 200,
    log_users: int = 100,
    seeds: int = 3,
    ablations: int = 10,
    log: Path | None = None,
) -> None:
    """Measure on simulated users of the miniature world how well they are known, and how well answers please them.

    With a log of real users' choices, measure how well each way foresees these instead.

    Args:
        bundle: A bundle of the miniature world; with a log, any bundle with reward models.
        output: Gets users.json, users.md and a plot; with a log, log.json.
        users: Of each seed.
        log_users: Others, from whose choices bases are learned.
        seeds: Of users, answers and noise.
        ablations: Seeds of the ablation of PReF's start and penalty; 0 leaves it out.
        log: JSONL rows {"user", "prompt", "chosen", "rejected"}.
    """
    if log is not None:
        foresee(bundles.locate(bundle), log, output, seeds)
        return
    from comparison.users.bench import bench as measure  # what measures needs the extra `train`

    measure(bundles.locate(bundle), output, users=users, log_users=log_users, seeds=seeds, ablations=ablations)


def foresee(folder: Path, log: Path, output: Path, seeds: int) -> None:
    """Try every way on a log, show what was found and write it down."""
    from comparison.users.logged import logged, sheet  # what measures needs the extra `train`

    report = logged(taught(log, learner_of(folder, prior_scale=1.0), folder), seeds)
    output.mkdir(parents=True, exist_ok=True)
    (output / "log.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    show_sheets([sheet(report)])


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


if __name__ == "__main__":
    commands = partial(auto_cli, [ask, learn, show, forget, merge, prepare, bench], prog="python -m pcm.users")
    raise SystemExit(exit_status(commands, "stopped; every answer that was given is kept"))
