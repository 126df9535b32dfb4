"""A large language model as a judge of pairs, behind any endpoint that speaks as OpenAI's does.

Knows the questions to the model, its replies and where they are kept. Does not know methods or statistics.
Such judges like the answer that stands first (arXiv 2306.05685): every pair is asked in both orders, and whoever does
not win both has not won. Replies are kept on disk, so nothing is asked, or paid for, twice.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from comparison.archive import write_whole
from comparison.combinations import Combination
from comparison.decoding import drawn
from comparison.scorers import Array
from experts.miniature.corpus import Prompt
from pcm.chat import ChatModel

TASK = (
    "Two assistants answered the same conversation. The person who asked prefers: {preference}\n\n"
    "Conversation:\n{conversation}\n\nAnswer A:\n{first}\n\nAnswer B:\n{second}\n\n"
    "Which answer is right and suits this person better? Reply with one word: A, B or tie."
)
_VERDICT = r"(A|B|(?i:tie))"  # a small a is an article
PLACES = (
    re.compile(rf"^[\W_]*{_VERDICT}[\W_]*$", re.MULTILINE),
    re.compile(rf"\A[\W_]*{_VERDICT}[*_]*\s?[,.;!(–—-]"),
    re.compile(rf"\b{_VERDICT}[\W_]*\Z"),
)
"""Where a verdict is looked for: on a line of its own, at the beginning before a reason, at the very end."""


class LanguageJudge:
    """Says which of two answers suits a preference better.

    Args:
        model: Is asked.
        folder: Keeps the replies.
        describe: Puts a preference into words.

    Attributes:
        replies: How many were read, those from disk too.
        undecided: How many of them held no verdict.
    """

    def __init__(self, model: ChatModel, folder: Path, describe: Callable[[Combination], str]) -> None:
        """Asks nothing yet."""
        self.model, self.folder, self.describe = model, folder, describe
        self.replies = self.undecided = 0

    def wins(self, prompts: Sequence[Prompt], ours: Sequence[str], theirs: Sequence[str], asked: Combination) -> Array:
        """Gives 1 where our answer is better in both orders, 0 where theirs is, else one half (N,)."""
        found = []
        for prompt, our, their in zip(prompts, ours, theirs, strict=True):
            here = {"A": 1.0, "B": 0.0}.get(self._said(prompt, our, their, asked), 0.5)
            turned = {"A": 0.0, "B": 1.0}.get(self._said(prompt, their, our, asked), 0.5)
            found.append(here if here == turned else 0.5)
        return np.array(found)

    @property
    def told(self) -> dict[str, int]:
        """What a report says of the replies."""
        return {"replies": self.replies, "undecided": self.undecided}

    def _said(self, prompt: Prompt, first: str, second: str, asked: Combination) -> str:
        """`A`, `B` or `TIE`, which is also what a reply counts as that says none of them."""
        conversation = "\n".join(f"{turn['role']}: {turn['content']}" for turn in prompt.messages)
        text = TASK.format(preference=self.describe(asked), conversation=conversation, first=first, second=second)
        found = verdict(self._reply(text))
        self.replies += 1
        self.undecided += found is None
        return found or "TIE"

    def _reply(self, text: str) -> str:
        """The model's reply, from disk where it is known."""
        path = self.folder / f"{drawn(self.model.url, self.model.name, text):014x}.json"
        if path.exists():
            return str(json.loads(path.read_text(encoding="utf-8"))["reply"])
        reply = self.model.reply(text)
        write_whole(path, [json.dumps({"question": text, "reply": reply})])
        return reply


def verdict(reply: str) -> str | None:
    """Gives `A`, `B` or `TIE` as a reply decides, None where it does not; of several lines alone the last one holds."""
    for place in PLACES:
        if found := place.findall(reply):
            return str(found[-1]).upper()
    return None
