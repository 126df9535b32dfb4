"""Rebuilds the miniature bundle from nothing: every stage of the chain, one after another.

    python -m experts.miniature                        # build/miniature/bundle, some hours on two cores
    python -m experts.miniature --ship bundles/miniature   # and put it there
    python -m experts.miniature --scale quick --root /tmp/quick   # the same chain in a few tiny steps, some minutes

Each stage is a command of its own and runs as a process. What it has made is kept, and a stage that is done is not run
again; one that was killed goes on from its checkpoint where it has one. Ends with a table of what was made.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jsonargparse import auto_cli
from rich.console import Console
from rich.table import Table

from bundle import written_whole

BUILD = Path("build/miniature")
CONFIGS = Path(__file__).parents[2] / "configs" / "miniature"
ENVIRONMENT = {  # what two cores are happiest with; whoever has set one of these keeps it
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin for long starve whatever runs beside
    "GOMP_SPINCOUNT": "10000",  # but half a millisecond saves a fifth of a training step of small products
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # pages of 2 MB: a third of a step went into faults of small ones
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),  # above it memory goes back after use: kept, it piles up to 20 GB
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),  # below it memory is kept: else a step takes a third longer
}


@dataclass(frozen=True)
class Stage:
    """One stage of the chain.

    Attributes:
        name: what the table calls it.
        command: what stands behind `python -m`.
        makes: the last file it writes: where that is, the stage is done.
        quick: what a quick run adds to the command.
        checkpoint: the file it goes on from when it was killed, for commands that must be told.
    """

    name: str
    command: str
    makes: str
    quick: str = ""
    checkpoint: str | None = None

    @property
    def done(self) -> bool:
        """Whether everything it makes is there."""
        return (BUILD / self.makes).exists()

    def arguments(self, scale: str) -> list[str]:
        """The command line behind the interpreter."""
        words = ["-m", *self.command.split(), *(self.quick.split() if scale == "quick" else [])]
        if self.checkpoint and (BUILD / self.checkpoint).exists():
            words += ["--ckpt_path", str(BUILD / self.checkpoint)]
        return [word.replace("CONFIGS", str(CONFIGS)).replace("BUILD", str(BUILD)) for word in words]


STAGES = (
    Stage("prompts and preferences", "experts.miniature.data", "preferences/validation.jsonl", "--preferences 400"),
    Stage(
        "base",
        "experts.miniature.pretrain",
        "base/model.safetensors",
        "--steps 60 --batch_size 4 --hidden_size 32 --layers 2 --vocab_size 1024",
    ),
    Stage(
        "annotated pairs",
        "experts.miniature.pairs",
        "pairs/quality/validation.jsonl",
        "--count 48 --held_out 16 --rounds 1 --questions 24 --max_new_tokens 24",
    ),
    Stage("reward models", "experts.reward_training --config CONFIGS/rewards.yaml", "rewards/metrics.json"),
    Stage(
        "experts",
        "experts.train --config CONFIGS/experts.yaml",
        "experts/unfriendly/adapter_config.json",
        "--ppo.updates 2 --prompts_per_update 4 --exam.least_budget 8 --exam.most_budget 16",
    ),
    Stage(
        "uniform mixture",
        "pcm --config CONFIGS/bundle.yaml --dimensions CONFIGS/../../experts/miniature/dimensions.yaml",
        "uniform/bundle.json",
        "--steps 60",
    ),
    Stage(
        "controller",
        "pcm.train fit --config CONFIGS/pcm.yaml",
        "controlled/bundle.json",
        "--trainer.max_epochs 1 --data.iterations 2 --data.pairs 4 --data.validation_pairs 4 --model.max_new_tokens 16",
        checkpoint="pcm/checkpoints/last.ckpt",
    ),
    Stage(
        "intensities",
        "pcm.intensity --bundle BUILD/controlled --prompts BUILD/prompts/validation.jsonl --output BUILD/bundle",
        "bundle/bundle.json",
        "--answers 4 --max_new_tokens 16",
    ),
    Stage(
        "gate",
        "pcm.gate --bundle BUILD/bundle --prompts BUILD/prompts/train.jsonl"
        " --validation BUILD/prompts/validation.jsonl",
        "bundle/pcm/gate/model.safetensors",
        "--answers 8 --validation_answers 8 --rounds 5 --max_new_tokens 16",
    ),
    Stage(
        "questions for users",
        "pcm.users prepare BUILD/prompts/train.jsonl BUILD/bundle/questions.jsonl --bundle BUILD/bundle",
        "bundle/questions.jsonl",
        "--count 4 --answers 2 --max_new_tokens 16",
    ),
)


def reproduce(scale: Literal["full", "quick"] = "full", root: Path = Path(), ship: Path | None = None) -> None:
    """Run every stage that is not done yet.

    Args:
        scale: full as shipped, or quick: the same chain in a few tiny steps, whose bundle answers nothing.
        root: the folder in which `build/miniature` is made.
        ship: a folder that gets a copy of the finished bundle.

    Raises:
        SystemExit: if a stage ends without what it must make, or another scale was begun here.
    """
    console = Console()
    ship = ship.resolve() if ship else None
    root.mkdir(parents=True, exist_ok=True)
    os.chdir(root)
    require_scale(scale)
    for number, stage in enumerate(STAGES, 1):
        if stage.done:
            console.print(f"[dim]{number}/{len(STAGES)} {stage.name}: done before[/dim]")
            continue
        console.rule(f"{number}/{len(STAGES)} {stage.name}")
        began = time.monotonic()
        ended = subprocess.run([sys.executable, *stage.arguments(scale)], check=False, env=ENVIRONMENT | os.environ)
        note_seconds(stage.name, time.monotonic() - began)
        if ended.returncode or not stage.done:
            raise SystemExit(
                f"the stage {stage.name!r} must write {BUILD / stage.makes}, it ended without; run me again"
            )
    console.print(summary())
    if ship:
        with written_whole(ship) as new:
            shutil.copytree(BUILD / "bundle", new, dirs_exist_ok=True)
        console.print(f"The bundle is in {ship}")


def require_scale(scale: str) -> None:
    """Notes the scale of what is made here, and refuses to go on with what another one has begun."""
    path = BUILD / "scale"
    began = path.read_text("utf-8").strip() if path.exists() else scale
    if began != scale:
        raise SystemExit(
            f"{BUILD.resolve()} must hold a {scale} run, a {began} one was begun there: give another --root"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{scale}\n", encoding="utf-8")


def note_seconds(name: str, seconds: float) -> None:
    """Add to the time that a stage has taken over all its runs."""
    path = BUILD / "seconds.json"
    spent = json.loads(path.read_text("utf-8")) if path.exists() else {}
    spent[name] = round(spent.get(name, 0.0) + seconds, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(spent, indent=2) + "\n", encoding="utf-8")


def summary() -> Table:
    """What every stage made, how large it is and what it took."""
    spent = json.loads((BUILD / "seconds.json").read_text("utf-8"))
    table = Table("stage", "made", "size", "minutes", title="The miniature bundle")
    for stage in STAGES:
        made = BUILD / Path(stage.makes).parts[0]
        size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
        table.add_row(stage.name, str(made), f"{size / 1e6:.1f} MB", f"{spent.get(stage.name, 0) / 60:.1f}")
    table.add_row("all", "", "", f"{sum(spent.values()) / 60:.1f}")
    return table


if __name__ == "__main__":
    auto_cli(reproduce)
