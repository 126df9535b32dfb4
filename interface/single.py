"""The answer to a single prompt: told as it comes, or as one JSON object, with its reasons where they are wanted.

Knows in which order a person is shown things. Does not know how each of them looks.
"""

import sys
from pathlib import Path

from decoding.response import Token
from interface.answer import Settings, answer
from interface.explain import explain
from interface.record import json_line, record
from interface.requests import Request, conversation_of
from interface.terminal import Terminal, printable
from interface.trace import trace_content, trace_page, write_page
from mixture import Mixture
from pcm.preference import Preference


def answer_one(
    mixture: Mixture, prompt: str, asked_for: Preference | None, settings: Settings, json: bool, trace: Path | None
) -> None:
    """Answers one prompt on standard output.

    Args:
        mixture: Answers.
        prompt: What shall be answered.
        asked_for: How; None is no wish.
        settings: How the answer is drawn, and whether it is explained.
        json: Print one JSON object and nothing else.
        trace: Where to write the page that shows why each token came, if anywhere.
    """
    terminal = Terminal(mixture.names)
    asked = mixture.understood(asked_for)
    wish = asked_for.text if asked_for else None

    def watch(token: Token) -> None:
        if not json:
            terminal.token(token)

    if not json:
        terminal.expect(asked)
    conversation = conversation_of(Request(prompt, asked_for, line=1), mixture, settings.told)
    response = answer(mixture, conversation, asked, settings, watch)
    wanted = settings.explained or trace is not None
    why = explain(mixture, conversation, response, settings.sampling, settings.seed) if wanted else None
    said = why if settings.explained else None
    if json:
        sys.stdout.write(json_line(record(prompt, wish, response, said)))
    else:
        terminal.summary(response)
        if said is not None:
            terminal.note(printable(said.as_text()))
    if trace is not None:
        write_page(trace, trace_page(trace_content(prompt, wish, mixture.rule_name, mixture.dimensions, response, why)))
