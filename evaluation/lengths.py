"""What is left of a difference when nobody gains by being long or short.

Knows numbers, prompts first. Knows no model, no text.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from evaluation.intervals import CONFIDENCE, Estimate, difference, prompt_means


def length_controlled(ours: ArrayLike, theirs: ArrayLike, our_lengths: ArrayLike, their_lengths: ArrayLike) -> Estimate:
    """Gives the mean of `ours − theirs` at equal length: the intercept of its regression on the gap in length.

    After the length-controlled AlpacaEval (arXiv 2404.04475), whose gap `tanh(Δ / std Δ)` this takes too, but linear:
    scores need not be votes.

    Args:
        ours: One row for each prompt (N, ...); further axes are averaged.
        theirs: For the same prompts (N, ...).
        our_lengths: Of the answers, in any unit (N, ...).
        their_lengths: Likewise (N, ...).

    Raises:
        ValueError: If there are fewer than three prompts, their numbers differ, or values are not finite.
    """
    columns = [prompt_means(one) for one in (ours, theirs, our_lengths, their_lengths)]
    sizes = [len(column) for column in columns]
    if len(set(sizes)) != 1 or sizes[0] < 3:
        raise ValueError(f"a regression on length needs the same three prompts or more everywhere, got {sizes}")
    gaps = columns[2] - columns[3]  # (N,)
    spread = float(np.sqrt((gaps**2).mean()))  # around zero: a gap that all prompts share is a gap
    bent = np.tanh(gaps / spread) if spread > 0 else gaps
    if np.ptp(bent) < 1e-9:  # one and the same gap everywhere cannot be told from the difference itself
        return difference(columns[0], columns[1])
    fitted = stats.linregress(bent, columns[0] - columns[1])
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, sizes[0] - 2) * fitted.intercept_stderr)
    middle = float(fitted.intercept)
    return Estimate(middle, middle - reach, middle + reach)
