"""Who judges and who chooses in a comparison, by the names that a command gives.

Knows which scorers there are and what each of them needs. Does not know methods or statistics.
"""

import random
from pathlib import Path

import torch

import bundle as bundles
from comparison.cases import Case
from comparison.combinations import strengths
from comparison.decoding import drawn
from comparison.language_judge import LanguageJudge
from comparison.learned import ClassifierScorer, LearnedScorer
from comparison.remembered import Remembered
from comparison.scorers import GoldScorer, Scorer
from decoding.conversation import encode_prompts
from experts.references import kept_references
from experts.rewards import QUALITY, RewardModels
from pcm.chat import endpoint


def roles(case: Case, wanted: list[str] | None) -> tuple[str, str | None]:
    """Gives who judges and who chooses: the first that is named, and the next one, which is never gold.

    Where one is named it does both, unless it is gold: then the bundle's learned rewards choose, if there are any.

    Raises:
        ValueError: If nobody is named and nobody is there.
    """
    if wanted:
        listed = wanted
    elif all(one.topic for one in case.prompts):
        listed = ["gold"]
    elif case.rewards is not None:
        listed = ["learned"]
    else:
        raise ValueError("answers need a judge: name one with --scorers, such as classifier:FOLDER")
    choosers = (name for name in (*listed[1:], listed[0]) if name != "gold")
    return listed[0], next(choosers, "learned" if case.rewards else None)


def remembering(name: str, case: Case, output: Path, max_new_tokens: int) -> Scorer:
    """Gives a scorer that asks its model only once for the same answers."""
    scorer = scorer_named(name, case, output, max_new_tokens)
    if name == "gold":
        return scorer
    # The reference answers behind learned scores depend on all questions together.
    depends = drawn(name, case.identity, max_new_tokens, [one.messages for one in case.everything])
    return Remembered(scorer, output / "scores", f"{depends:014x}")


def scorer_named(name: str, case: Case, output: Path, max_new_tokens: int) -> Scorer:
    """Gives a scorer: `gold`, `learned` or `classifier:FOLDER`.

    Raises:
        ValueError: If there is no such scorer, or it does not fit the case.
    """
    kind, _, where = name.partition(":")
    if kind == "gold":
        if any(not one.topic for one in case.prompts):
            raise ValueError("the gold judge knows questions of the miniature world alone, got others: name a scorer")
        return GoldScorer(case.mixture.names)
    if kind == "learned":
        return learned_scorer(case, output, max_new_tokens)
    if kind == "classifier" and where:
        return ClassifierScorer.load(where, case.mixture.names)
    raise ValueError(f"a scorer must be gold, learned or classifier:FOLDER, got {name!r}")


def learned_scorer(case: Case, output: Path, max_new_tokens: int) -> LearnedScorer:
    """Gives the bundle's reward models as a scorer; reference answers are kept in the output.

    Raises:
        ValueError: If there are no reward models.
    """
    if case.rewards is None:
        raise ValueError("learned scores need a bundle with reward models, got none")
    mixture, folder = case.mixture, case.rewards.parent
    trunk, _ = bundles.read_base(folder, bundles.read_manifest(folder), torch.float32)
    rewards = RewardModels.load(case.rewards, trunk, [*mixture.names, QUALITY]).eval()
    prompts = encode_prompts(mixture.tokenizer, [one.messages for one in case.everything])
    tokens = {"end_id": mixture.tokenizer.eos_token_id, "pad_id": mixture.tokenizer.pad_token_id}
    depends = drawn(case.identity, max_new_tokens, [one.messages for one in case.everything])
    path = output / f"references-{depends:014x}.safetensors"
    found = kept_references(mixture.bank, rewards, prompts, path, **tokens, max_new_tokens=max_new_tokens)
    return LearnedScorer(rewards, mixture.tokenizer, mixture.names, found, case.everything, max_new_tokens)


def language_judge(
    case: Case, output: Path, url: str | None, model: str | None, key: str | None
) -> LanguageJudge | None:
    """Gives the judge of pairs behind an endpoint, if there is one.

    Raises:
        ValueError: If only one of url and model is given, or the key's variable is not set.
    """
    if url is None and model is None:
        return None
    if url is None or model is None:
        raise ValueError(f"judge_url and judge_model must be given together, got {url} and {model}")
    asked_model = endpoint(url, model, key)
    return LanguageJudge(
        asked_model, output / "judge", lambda asked: case.phrase(tuple(strengths(asked)), random.Random(0))
    )
