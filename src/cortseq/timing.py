"""How long functions take, in turns, and how that grows."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

ROUNDS, ENOUGH = (3, 41), 4.0  # fewest and most rounds; seconds after which no further round starts


@dataclass(frozen=True)
class Law:
    """Power law y ~ x^slope with the 95 % interval of its slope.

    Attributes
    ----------
    name : what was measured.
    slope : exponent.
    low : lower end of the interval.
    high : upper end.
    """

    name: str
    slope: float
    low: float
    high: float


def in_turns(
    functions: list[Callable[[], Any]], clock: Callable[[], float] = time.process_time
) -> list[float]:
    """Return median seconds of each function; all take their turn once a round.

    A turn is one call; what a function needs to warm up, `compare` has called before.
    """
    taken: list[list[float]] = [[] for _ in functions]
    gc.collect()
    end = time.perf_counter() + ENOUGH
    while len(taken[0]) < ROUNDS[0] or (len(taken[0]) < ROUNDS[1] and time.perf_counter() < end):
        for function, times in zip(functions, taken, strict=True):
            start = clock()
            function()
            times.append(clock() - start)
    return [float(np.median(times)) for times in taken]


def law(name: str, x: Any, y: Any) -> Law:
    """Return least squares on logarithms; Student's interval."""
    from scipy import stats

    fit = stats.linregress(np.log(x), np.log(y))
    half = stats.t.ppf(0.975, len(x) - 2) * fit.stderr
    return Law(name, float(fit.slope), float(fit.slope - half), float(fit.slope + half))
