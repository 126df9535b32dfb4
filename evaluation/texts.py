"""What can be counted in texts: how long, how hard to read, how varied, how alike.

Knows texts. Knows no model and nobody's preference.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WORD = re.compile(r"\w+(?:['’]\w+)*")
SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)")
VOWELS = re.compile(r"[aeiouy]+")
Ngrams = Counter[tuple[str, ...]]
Array = NDArray[np.float64]


def words(text: str) -> list[str]:
    """Gives the words of a text in small letters."""
    return WORD.findall(text.lower())


def type_token_ratio(text: str) -> float:
    """Gives the share of different words among all words, 0 for a text without words."""
    found = words(text)
    return len(set(found)) / len(found) if found else 0.0


def grade_level(text: str) -> float:
    """Gives the school years it takes to read an English text, `0.39 w/s + 11.8 y/w − 15.59` (Kincaid, 1975).

    Syllables y are counted as groups of vowels, a silent e at the end left out; w are words, s are sentences. A text
    without words has grade 0.
    """
    found = words(text)
    if not found:
        return 0.0
    sentences = max(1, len(SENTENCE_END.findall(text)))
    return 0.39 * len(found) / sentences + 11.8 * sum(map(_syllables, found)) / len(found) - 15.59


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Gives the share of different n-grams of words among all of them, over all texts (arXiv 1510.03055).

    Args:
        texts: Any number; n-grams do not go across texts. 0 where no text has one.
        n: Words in an n-gram.

    Raises:
        ValueError: If n is below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    counted: Ngrams = Counter()
    for text in texts:
        counted += _ngrams(words(text), n)
    return len(counted) / counted.total() if counted else 0.0


def self_bleu(texts: Sequence[str], n: int = 4) -> float:
    """Gives how much of each text stands in the others: the mean BLEU of each with all others as its references.

    1 says all are alike (Texygen, arXiv 1802.01886). BLEU is that of single sentences with one half a hit where an
    order has none, so that a short text is not zero at once.

    Args:
        texts: At least two.
        n: The longest n-grams that are counted.

    Raises:
        ValueError: If there are fewer than two texts.
    """
    if len(texts) < 2:
        raise ValueError(f"self-BLEU compares at least two texts, got {len(texts)}")
    listed = [words(text) for text in texts]
    log_precisions = np.zeros(len(texts))
    for order in range(1, n + 1):
        log_precisions += _log_precisions([_ngrams(one, order) for one in listed])
    orders = np.array([min(n, len(one)) for one in listed])
    lengths = np.array([len(one) for one in listed])
    bleu = np.exp(log_precisions / np.maximum(orders, 1) + _penalties(lengths))
    return float(np.where(lengths > 0, bleu, 0.0).mean())


def _log_precisions(counted: Sequence[Ngrams]) -> Array:
    """The logarithm of each text's clipped precision against all others (N,), 0 for a text without such n-grams.

    The most that any other text has of an n-gram is the most of all, or the second most for the one that has the most:
    so no two texts need to be compared.
    """
    most: dict[tuple[str, ...], tuple[int, int, int]] = {}  # how often, by whom, and the second most
    for place, ngrams in enumerate(counted):
        for ngram, count in ngrams.items():
            first, whose, second = most.get(ngram, (0, -1, 0))
            most[ngram] = (count, place, first) if count > first else (first, whose, max(second, count))
    found = np.zeros(len(counted))
    for place, ngrams in enumerate(counted):
        hits = 0
        for ngram, count in ngrams.items():
            first, whose, second = most[ngram]
            hits += min(count, second if whose == place else first)
        if ngrams:
            found[place] = np.log(max(hits, 0.5) / ngrams.total())
    return found


def _penalties(lengths: NDArray[np.int64]) -> Array:
    """The logarithm of BLEU's penalty for being shorter than the nearest of the others (N,)."""
    found = np.zeros(len(lengths))
    for place, length in enumerate(lengths):
        others = np.delete(lengths, place)
        gaps = np.abs(others - length)
        nearest = others[gaps == gaps.min()].min()
        found[place] = min(0.0, 1 - nearest / max(length, 1))
    return found


def _ngrams(found: Sequence[str], n: int) -> Ngrams:
    return Counter(tuple(found[start : start + n]) for start in range(len(found) - n + 1))


def _syllables(word: str) -> int:
    silent = word.endswith("e") and not word.endswith("le")
    return max(1, len(VOWELS.findall(word)) - silent)
