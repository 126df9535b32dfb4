"""A scorer that reads anything: numbers made of an answer's letters, other ones for other answers."""

import numpy as np

from comparison.scorers import Scores


class Counting:
    def __init__(self, names):
        self.names = names

    def score(self, prompts, answers):
        quality = np.array([sum(map(ord, answer)) % 997 / 997 for answer in answers])
        return Scores(quality, {name: quality / (1 + place) for place, name in enumerate(self.names)})
