"""Random numbers of training as functions of (seed, member, purpose, epoch, step): no stream to save.

A fit that is killed and goes on, and a member fitted alone, draw the same numbers as a fit that was never
touched. Drawn for whole trials: where a batch is cut must not move anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

ORDER, INPUT, HIDDEN, NOISE, COIN, DRAW = 2, 3, 4, 5, 6, 7  # 1 is the start of the parameters
BETWEEN = 100  # and above: dropout of what the first layer hands on, the second ..


@dataclass
class Draws:
    """The random numbers of one gradient step of one member."""

    seed: int
    member: int
    epoch: int
    step: int
    kept: dict[int, np.ndarray] = field(default_factory=dict)

    def _seed(self, purpose: int, *more: int) -> np.random.SeedSequence:
        return np.random.SeedSequence([self.seed, self.member, purpose, self.epoch, self.step, *more])

    def words(self, purpose: int, shape: tuple[int, ...]) -> np.ndarray:
        """Draw uniform 16-bit words of `shape`; an event of probability p: word < round(65536 p)."""
        if purpose not in self.kept:
            n = int(np.prod(shape))
            raw = np.random.SFC64(self._seed(purpose)).random_raw(n // 4 + 1)
            self.kept[purpose] = raw.view(np.uint16)[:n].reshape(shape)
        return np.asarray(self.kept[purpose])

    def normal(self, purpose: int, shape: tuple[int, ...]) -> np.ndarray:
        """Draw standard normal numbers of `shape`, float32."""
        if purpose not in self.kept:
            rng = np.random.Generator(np.random.SFC64(self._seed(purpose)))
            self.kept[purpose] = rng.standard_normal(shape, dtype=np.float32)
        return np.asarray(self.kept[purpose])

    def integer(self, purpose: int, *more: int) -> int:
        """Return a seed for a generator of another library."""
        return int(self._seed(purpose, *more).generate_state(1, np.uint64)[0] >> np.uint64(1))


def order(seed: int, member: int, epoch: int, n: int) -> np.ndarray:
    """Return the order of the training trials in one epoch, a permutation (n,)."""
    return np.random.Generator(np.random.SFC64([seed, member, ORDER, epoch])).permutation(n)


def threshold(probability: float) -> tuple[int, float]:
    """Return the word below which something is dropped, and the factor that keeps the mean of the rest."""
    cut = min(round(probability * 65536), 65535)
    return cut, 65536 / (65536 - cut)
