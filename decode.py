"""Answers a question the way a person prefers it, one token at a time, and shows which expert moved each token.

    python decode.py "What is a volcano?" --preference "simple words, keep it short, be warm"

Knows what a person types and in which order things happen. Does not know how a token is chosen: `mixture.py` does.
Where it departs from the paper (arXiv 2407.04181): (1) the mixing rule is the bundle's, `anchored` unless it says
otherwise; (2) answers are greedy unless a temperature is given; (3) without a preference all experts are mixed alike.
"""

import inspect
import logging
import os
import re
import sys
import warnings
from argparse import ArgumentError, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import docstring_parser
from jsonargparse import ArgumentParser, DefaultHelpFormatter

if TYPE_CHECKING:  # what computes takes seconds to import: --help and mistyped options do not wait for it
    from decoding.sampling import Sampling
    from interface.answer import Settings
    from interface.requests import Request
    from mixture import Mixture
    from pcm.preference import Preference

SHIPPED = Path(__file__).parent / "bundles" / "miniature"
EXAMPLES = """examples:
  decode.py "What is a volcano?" --preference "simple words, keep it short, be warm"
  decode.py "What is a volcano?" --weights friendly=1,concise=0.5    numbers; friendly=-1 asks for the opposite pole
  decode.py "What is a volcano?" --user ada    as choices between answers have shown it: python -m pcm.users ask ada
  decode.py "What is a volcano?" --preference "be warm" --trace volcano.html    a page that shows why each token came
  decode.py "What is a volcano?" --preference "be warm" --explain    which expert did what, below the answer
  decode.py "What is a volcano?" --preference "be warm" --json | jq .text
  decode.py "What is a volcano?" --preference "be warm" --budget 0.3    experts at three tokens in ten: nearly as good
  decode.py "What is a volcano?" --preference "be warm" --tell    said in the prompt as well, to a base that obeys
  decode.py "What is a volcano?" --temperature 0.8 --min-p 0.05 --repetition-penalty 1.1    drawn, without loops
  decode.py "What is a volcano?" --stop "." --stop "?"    one sentence; the stop text is not part of the answer
  decode.py --prompts prompts.jsonl --output answers.jsonl    lines {"prompt", "preference"?, "weights"?}; resumes
  decode.py    a conversation; /preference TEXT changes how it answers
"""


class _Help(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the examples one to a line."""


def decode(
    prompt: str | None = None,
    *,
    preference: str | None = None,
    weights: str | None = None,
    user: str | None = None,
    bundle: str = str(SHIPPED),
    revision: str | None = None,
    rule: str | None = None,
    prompts: str | None = None,
    output: str | None = None,
    json: bool = False,
    trace: str | None = None,
    explain: bool = False,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    logit_bias: str | None = None,
    stop: list[str] | None = None,
    max_new_tokens: int = 128,
    seed: int = 0,
    batch_size: int = 8,
    device: str = "cpu",
    compile: bool = False,
    budget: float = 1.0,
    tell: bool = False,
) -> None:
    """Answers one prompt, a file of prompts, or a person who types.

    Args:
        prompt: What shall be answered; without it (and without --prompts) a conversation starts.
        preference: How it shall be answered, in words.
        weights: The same in numbers from -1 to 1, name=number,...; they win where both speak.
        user: Whose learned profile to follow, by name or by its file; `python -m pcm.users ask NAME` makes one. What
            --preference and --weights speak of goes before it.
        bundle: A bundle's folder, or its id on the Hugging Face hub.
        revision: Branch, tag or commit of a bundle on the hub.
        rule: Another mixing rule than the bundle's: probability, logit or anchored.
        prompts: A JSONL file of prompts.
        output: The JSONL file for their answers; lines that are there already are kept, and refused where they come
            from another bundle, preference or setting.
        json: Print one JSON object for each answer, and nothing else.
        trace: Write a page that shows why each token came.
        explain: Say below each answer what every expert did: its mean weight, where it led, which tokens would have
            differed without it, and how far the answer is from the base. Costs one more reading of the answer.
        temperature: 0 takes the most probable token.
        top_p: Keep the most probable tokens that together have this probability.
        top_k: Keep this many tokens; 0 keeps all.
        min_p: Keep the tokens at least this fraction as probable as the best one (0.05 to 0.1 tames a high
            temperature); 0 keeps all.
        repetition_penalty: Above 1, tokens that stand in the prompt or the answer so far become less probable (1.1 is
            mild, 1.5 is much); below 1 more.
        logit_bias: Nats to add to tokens, token=number,...; a token is its id or a short text to the letter, where a
            space in front counts: " warm=2". -100 forbids a token. It acts before the temperature.
        stop: End the answer before this text; may be given several times, and a line break may be typed in quotes.
        max_new_tokens: The most tokens of an answer.
        seed: Of the first answer; the next ones count on.
        batch_size: Prompts of a file that are answered side by side.
        device: Where to compute: cpu, cuda.
        compile: Compile the model's passes: the same answers, later tokens sooner. It begins with seconds to minutes of
            making graphs, again for other preferences: for long files of prompts and long conversations.
        budget: Mix about this share of the tokens, those where the bundle's gate expects mixing to matter; elsewhere
            the base speaks alone, which costs a part. 1 mixes everywhere.
        tell: Say the preference in the prompt too, as a system message; one in numbers by the descriptions of what it
            asks for. Base and experts that follow instructions come closer to it so.
    """
    _require_one_task(prompt, prompts, output, json, trace)
    _require_whole(budget, trace, explain)
    _require_places(prompts, output, trace)
    from decoding.sampling import Sampling
    from interface.bias import parsed_bias

    bias = parsed_bias(logit_bias) if logit_bias is not None else {}
    sampling = Sampling(temperature, top_k, top_p, max_new_tokens, min_p, repetition_penalty, bias, stop or ())
    settings = _settings(sampling, seed, bool(trace), explain, tell)
    asked_for, requests = _wishes(preference, weights, user, prompts)
    mixture, identity = _load(bundle, rule, revision, device, compile, budget)
    if requests:
        _answer_file(mixture, requests, output, settings, batch_size, identity)
    else:
        _answer_person(mixture, prompt, asked_for, settings, json, trace)


def _settings(sampling: "Sampling", seed: int, traced: bool, explained: bool, told: bool) -> "Settings":
    from interface.answer import Settings
    from interface.trace import ALTERNATIVES

    return Settings(sampling, seed, alternatives=ALTERNATIVES if traced else 0, explained=explained, told=told)


def _wishes(
    preference: str | None, weights: str | None, user: str | None, prompts: str | None
) -> "tuple[Preference | None, list[Request]]":
    from interface.requests import read_requests
    from interface.wish import wish

    asked_for = wish(preference, weights, user)
    return asked_for, read_requests(Path(prompts), asked_for) if prompts else []


def _require_one_task(
    prompt: str | None, prompts: str | None, output: str | None, json: bool, trace: str | None
) -> None:
    """Refuses what cannot be done together, before anything slow begins."""
    if prompt is not None and not prompt.strip():
        raise ValueError("a prompt must hold some text, got an empty one")
    if prompt is not None and prompts is not None:
        raise ValueError("give a prompt or --prompts, not both")
    if prompts is not None and (output is None) != json:
        raise ValueError("--prompts needs --output FILE.jsonl, or --json for standard output, and not both")
    if prompts is None and output is not None:
        raise ValueError("--output belongs to --prompts")
    if prompt is None and (trace is not None or (json and prompts is None)):
        raise ValueError("--trace and --json need a prompt")


def _require_whole(budget: float, trace: str | None, explain: bool) -> None:
    """Refuses to explain tokens that nobody mixed."""
    if budget != 1 and (trace is not None or explain):
        raise ValueError(
            f"--trace and --explain tell what every token was mixed from: they need --budget 1, got {budget}"
        )


def _require_places(prompts: str | None, output: str | None, trace: str | None) -> None:
    """Refuses to write where nothing can be written, or over what is read."""
    for option, written in (("--output", output), ("--trace", trace)):
        if written is not None and not Path(written).parent.is_dir():
            raise ValueError(f"{option} must name a file in a folder that exists, got {written}")
    if prompts is not None and output is not None and Path(prompts).resolve() == Path(output).resolve():
        raise ValueError(f"--output must not be the prompts file itself, got {output} for both")


def _load(
    bundle: str, rule: str | None, revision: str | None, device: str, compile: bool, budget: float
) -> "tuple[Mixture, str]":
    """The mixture, and what tells its bundle from others: the hash of the file that holds those of all the others."""
    import torch
    from transformers.utils import logging as transformers_logging

    from bundle import MANIFEST, locate, sha256
    from mixture import Mixture

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ValueError(f"--device must be one that torch knows, such as cpu or cuda, got {device}") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device must be one that this machine has, got {device} without CUDA")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    folder = locate(bundle, revision)
    mixture = Mixture.load(folder, rule=rule, budget=budget, device=device, compile=compile)
    return mixture, sha256(folder / MANIFEST)


def _answer_file(
    mixture: "Mixture",
    requests: Sequence["Request"],
    output: str | None,
    settings: "Settings",
    batch_size: int,
    identity: str,
) -> None:
    from rich.console import Console

    from interface.batch import answer_all, write_all
    from interface.requests import require_answerable

    require_answerable(mixture, requests, settings.sampling, settings.told)
    if output is not None:
        write_all(mixture, requests, Path(output), settings, batch_size, identity, Console(stderr=True))
        return
    for line in answer_all(mixture, requests, settings, first=0, batch_size=batch_size, identity=identity):
        sys.stdout.write(line)
        sys.stdout.flush()


def _answer_person(
    mixture: "Mixture",
    prompt: str | None,
    asked_for: "Preference | None",
    settings: "Settings",
    json: bool,
    trace: str | None,
) -> None:
    """Answers the prompt, or talks where there is none."""
    from interface.chat import Chat
    from interface.single import answer_one
    from interface.terminal import Terminal

    if prompt is None:
        Chat(mixture, asked_for, settings, Terminal(mixture.names)).run()
    else:
        answer_one(mixture, prompt, asked_for, settings, json, None if trace is None else Path(trace))


def _parser() -> ArgumentParser:
    """The command's options, which are `decode`'s parameters, written with dashes."""
    parser = ArgumentParser(
        prog="decode.py", description=__doc__, epilog=EXAMPLES, formatter_class=_Help, exit_on_error=False
    )
    told = {entry.arg_name: entry.description for entry in docstring_parser.parse(decode.__doc__ or "").params}
    for name, parameter in inspect.signature(decode).parameters.items():
        option = "--" + name.replace("_", "-")
        # "null" is a text that a person may type, not the absence of one.
        kind = str if parameter.annotation == str | None else parameter.annotation
        if name == "prompt":
            parser.add_argument(name, nargs="?", type=kind, help=told[name])
        elif kind is bool:
            parser.add_argument(option, action="store_true", help=told[name])
        elif kind == list[str] | None:
            parser.add_argument(option, action="append", type=str, help=told[name])
        else:
            parser.add_argument(option, type=kind, default=parameter.default, help=told[name])
    return parser


def _complaint(problem: Exception) -> str:
    """What is the matter in one line; of an option that is no number, in the words that a person typed."""
    said = " ".join(str(problem).split())
    typed = re.fullmatch(r'Parser key "(\w+)": Expected a <class \'(int|float)\'>. Got value: (.*)', said)
    if typed is None:
        return said
    kind = {"int": "a whole number", "float": "a number"}[typed[2]]
    return f"--{typed[1].replace('_', '-')} must be {kind}, got {typed[3]}"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Tells what is the matter, without the place in the code that Python adds."""
    sys.stderr.write(f"warning: {' '.join(str(message).split())}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error.

    Args:
        arguments: Those of the command line where it is None.
    """
    # Threads that spin while they wait slow small models down a hundredfold on a machine that has other work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # half a millisecond of it doubles their speed on a quiet one
    for talker in ("torchao", "torch.utils._pytree"):  # transformers imports torchao where it finds it
        logging.getLogger(talker).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _show_warning
            decode(**vars(_parser().parse_args(arguments)))
    except BrokenPipeError:  # whoever reads has seen enough, as `head` does; Python would complain once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ArgumentError, ValueError, OSError) as problem:
        sys.stderr.write(f"error: {_complaint(problem)}\n")
        return 2
    except RuntimeError as problem:
        import torch  # which has raised it, if it is a device's

        if not isinstance(problem, torch.OutOfMemoryError | torch.AcceleratorError):
            raise
        sys.stderr.write(f"error: {_complaint(problem)}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: lines finished in --output are kept, the same command goes on after them\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
