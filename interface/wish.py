"""What a person typed as a wish, as a preference.

Knows how weights are written on a command line, and profiles. Does not know which dimensions there are.
"""

import warnings
from dataclasses import replace

from pcm.preference import Preference
from pcm.users.profile import Profile, load_profile


def wish(text: str | None, weights: str | None, user: str | None = None) -> Preference | None:
    """Gives the preference of a text, of weights and of a user, or of some of them; None where nothing was typed.

    What is said now stands above what a profile says: the profile is heard on every axis that is not spoken of.

    Args:
        text: The wish in words.
        weights: The wish in numbers, `friendly=1,concise=0.5`.
        user: Whose profile to follow besides, by name or by its file.

    Raises:
        FileNotFoundError: If the user has no profile.
        ValueError: If something cannot be read.
    """
    usual = None if user is None else wish_of(load_profile(user))
    if text is None and weights is None and usual is None:
        return None
    return Preference(text, None if weights is None else parsed_weights(weights), usual)


def instead(said: Preference, before: Preference | None) -> Preference:
    """Gives a new wish in the place of an earlier one: what is usual for whoever asks stays."""
    return said if before is None else replace(said, usual=before.usual)


def wish_of(profile: Profile) -> Preference | None:
    """Gives what a profile asks for; one that asks for nothing is told of, and None."""
    if profile.preference is None:
        why = "; ".join(profile.doubts) or "too few choices to be sure of anything"
        warnings.warn(f"the profile of {profile.name} asks for nothing in particular ({why})", stacklevel=2)
    return profile.preference


def parsed_weights(text: str) -> dict[str, float]:
    """Gives the numbers by dimension.

    Args:
        text: `friendly=1,concise=0.5`.

    Raises:
        ValueError: If a part is no `name=number`, or a name comes twice.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals or not name or name in weights:
            raise ValueError(f"weights must be written name=number,name=number with each name once, got {text!r}")
        weights[name] = value
    return weights
