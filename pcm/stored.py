"""Pairs of answers that are drawn once, judged once and kept on disk: to learn from them without drawing any more.

Knows files and tensors. Does not know who draws or judges. A file belongs to what its answers depend on, so that a
stale one is never read: whatever is drawn or judged otherwise has another name.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from safetensors.torch import load_file, save
from torch import Tensor

from pcm.data import Batch


class Judged(NamedTuple):
    """Responses as a rollout has them, and what the judges said of them."""

    tokens: Tensor  # (S, n)
    mask: Tensor  # (S, n) 1 where a token counts
    logprobs: Tensor  # (S, n) of each token under the mixture that drew it, in nats
    scores: Tensor  # (S, D) quality last


class StoredPairs:
    """A folder of judged responses, a file for each batch.

    Args:
        folder: made if needed; several runs may share it.
        made_from: tells the models that draw and judge from others.
    """

    def __init__(self, folder: str | Path, made_from: str) -> None:
        self.folder, self.made_from = Path(folder), made_from

    def __call__(self, batch: Batch, settings: object, draw: Callable[[], Judged]) -> Judged:
        """Gives the responses to a batch: those on disk, or new ones, which are on disk from then on.

        Args:
            batch: what is answered; the responses come to its device.
            settings: what else their drawing depends on; compared by its representation.
            draw: draws and judges.
        """
        path = self.path(batch, settings)
        if path.exists():
            return Judged(**load_file(path, device=str(batch.asked.device)))
        drawn = draw()
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{uuid4().hex}")  # of several runs each writes the same
        content = save({name: tensor.contiguous() for name, tensor in drawn._asdict().items()})
        unfinished.write_bytes(content)  # `save_file` lets nobody else read it
        unfinished.replace(path)
        return drawn

    def path(self, batch: Batch, settings: object) -> Path:
        """Gives the file of a batch."""
        told = [self.made_from, repr(settings), batch.number, batch.heard, batch.conversations, batch.asked.tolist()]
        digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
        return self.folder / f"{batch.number:05d}-{digest}.safetensors"
