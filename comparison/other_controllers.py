"""Controllers of other bundles over the same experts: another rule, the published form, another training.

Knows bundles. Does not know how a controller was trained.
"""

from collections.abc import Collection, Mapping

from comparison.controllers.family import Family
from comparison.lineup import Entry, controlled

PREFIX = "pcm-"


def other_controllers(bundle: str | None, controllers: Mapping[str, str], taken: Collection[str]) -> list[Entry]:
    """Gives a line for the controller of each of these bundles.

    Args:
        bundle: The one that is compared, whose base and experts they must have; None where no bundle is compared.
        controllers: Folder or hub id of a bundle for each name.
        taken: Names of other lines.

    Raises:
        FileNotFoundError: If a bundle is not there.
        ValueError: If a name does not begin with pcm- or is taken, or a bundle does not belong to the compared one.
    """
    if not controllers:
        return []
    if bundle is None:
        raise ValueError("controllers belong to the experts of a bundle, got base and experts of your own")
    if wrong := [name for name in controllers if not name.startswith(PREFIX) or name in taken]:
        raise ValueError(f"a controller's name must begin with {PREFIX} and be no other method's, got {wrong[0]}")
    methods = Family.read({bundle: bundle, **controllers}).methods()
    note = "mixed as the controller in {} says"
    return [controlled(name, methods[name], note.format(where), name) for name, where in controllers.items()]
