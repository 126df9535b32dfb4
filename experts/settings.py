"""The settings that something was made with, kept beside it: what is there is never taken for what others would make.

Knows resolved configurations and the file that keeps one. Does not know what a setting means: a command says which of
its settings may differ.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from jsonargparse import ArgumentParser, Namespace

from experts.names import listed

Settings = dict[str, Any]
"""By dotted name; what was not given is not there."""


def keep_settings(
    parser: ArgumentParser,
    given: Namespace,
    record: Path,
    *,
    wanted: Collection[str],
    there: Collection[str],
    among: str,
    free: Collection[str],
) -> None:
    """Keeps the settings of what is to be made, once what is there is found to be made with the same.

    A setting that the record does not know is newer than it, and was at its default.

    Args:
        parser: of the command.
        given: its resolved configuration.
        record: YAML file in the folder of what is made.
        wanted: names of what is asked for.
        there: those of them that are there already, or begun.
        among: the setting that says which names are asked for, all if it says nothing; others have another record.
        free: settings, or groups of them, that change nothing of what is made.

    Raises:
        ValueError: if settings differ, with what they were and what is given.
    """
    if there and record.exists():
        defaults = {name: value for name, value in parser.get_defaults().items() if value is not None}
        kept = defaults | flat(yaml.safe_load(record.read_text(encoding="utf-8")))
        names = listed(kept.get(among))
        if names is None or set(names) & set(there):
            require_same(kept, flat(yaml.safe_load(parser.dump(given))), record.parent, free)
    if set(wanted) - set(there):
        record.parent.mkdir(parents=True, exist_ok=True)
        unfinished = record.with_suffix(f".{uuid4().hex}")  # of several processes each writes the same
        parser.save(given, unfinished)
        unfinished.replace(record)


def flat(tree: Mapping[str, Any], above: str = "") -> Settings:
    """The leaves of nested settings."""
    found: Settings = {}
    for name, value in tree.items():
        found |= flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {f"{above}{name}": value}
    return found


def require_same(kept: Settings, given: Settings, folder: Path, free: Collection[str]) -> None:
    """Refuses settings that differ, unless they are free.

    Args:
        kept: what the folder was begun with.
        given: what is asked for now.
        folder: named in the message.
        free: see `keep_settings`.

    Raises:
        ValueError: if a setting differs.
    """
    names = [name for name in kept | given if name.split(".")[0] not in free]
    told = [
        f"{name} {given.get(name, 'not given')} where it was {kept.get(name, 'not given')}"
        for name in names
        if kept.get(name) != given.get(name)
    ]
    if told:
        raise ValueError(
            f"{folder} must be gone on with in the settings it was begun with, got {', '.join(told)}: give the same "
            "settings, or another output"
        )
