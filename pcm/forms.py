"""The forms of controllers that a folder may hold.

Knows their names. Does not know how they are made.
"""

from pathlib import Path

from pcm.controller import Controller, read_config
from pcm.model import PreferenceControlModel
from pcm.published import PublishedControlModel

FORMS: dict[str, type[Controller]] = {
    PreferenceControlModel.form: PreferenceControlModel,
    PublishedControlModel.form: PublishedControlModel,
}


def load_controller(folder: str | Path) -> Controller:
    """Reads a controller of any form, in float32.

    Args:
        folder: where `Controller.save` wrote.

    Raises:
        FileNotFoundError: if the folder holds no controller.
        ValueError: if it holds one of a form that this program does not know.
    """
    form = read_config(Path(folder)).get("form", PreferenceControlModel.form)
    if form not in FORMS:
        raise ValueError(f"a controller must be of one of the forms {', '.join(FORMS)}, got {form!r} in {folder}")
    return FORMS[form].load(folder)
