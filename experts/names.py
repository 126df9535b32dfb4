"""Names as a command line or a configuration gives them. Knows nothing of what they name."""

from collections.abc import Sequence


def listed(names: Sequence[str] | str | None) -> list[str] | None:
    """The names of a list, or of a text with commas between them, as a command line gives it."""
    if isinstance(names, str):
        return [name.strip() for name in names.split(",")]
    return None if names is None else list(names)
