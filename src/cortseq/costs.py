"""Laws of cost: about how many seconds a fit and every other step of a study take, before anything is made.

    seconds = (speed of this machine) x sum over kinds of arithmetic of (amount x seconds of one)

A family says the amounts of a fit (`Model.work`), `cortseq.stages.work` those of the other steps. The seconds
were measured by `python -m benchmarks.costs`, which writes costs.json beside this file. The speed of this
machine is that of a short fixed calculation, until a study was run on it: then each kind of step is corrected
by what its steps took against what their law said (`learn`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cortseq import store
from cortseq.models.base import Model
from cortseq.models.work import Size, Work

FILE = Path(__file__).with_suffix(".json")
_ROUNDS = 5
# seconds of a step that tells how good its law is: of shorter ones imports are what takes long
_SHORTEST = 0.3
# seconds of steps, by their law, that count for as much as what was known before: a tiny study says little
_HALF = 60.0

Cost = dict[str, Work]  # kind of law -> amounts; a step may follow several


@functools.cache
def measured() -> dict[str, Any]:
    """Return what the calibration found: `speed_s`, seconds by family and track, by kind of step, and MB."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def speed_seconds() -> float:
    """Return the CPU seconds that a fixed calculation takes on this machine, the least of a few rounds.

    About equal parts are small matrix products, sums and products of arrays, and plain Python, as in fits.
    `numpy.tanh` and `numpy.exp` are not among them: on processors with AVX-512 they are several times as
    fast as elsewhere, and fits are not.
    """
    from threadpoolctl import threadpool_limits

    left, product = np.full((64, 64), 1 / 64, np.float32), np.empty((64, 64), np.float32)
    values, sums, taken = np.linspace(0, 1, 30_000), np.empty(30_000), []
    with threadpool_limits(1):
        for _ in range(_ROUNDS):  # into arrays that are there: what new pages cost depends on the process
            start = time.process_time()
            for _ in range(200):
                np.matmul(left, left, out=product)
            for _ in range(100):
                np.multiply(values, 0.5, out=sums)
                np.add(values, sums, out=sums)
            sum(i * i for i in range(30_000))
            taken.append(time.process_time() - start)
    return min(taken)


@functools.cache
def pace() -> float:
    """Return how slow this machine is beside the one of the calibration: 2 takes twice as long."""
    return speed_seconds() / float(measured()["speed_s"])


def seconds(model: Model, size: Size) -> float | None:
    """Return about how many CPU seconds of the calibration's machine a fit takes, members together.

    A network that stops before its last epoch takes less. A family that was not calibrated, such as a
    plug-in, is taken for the dearest one that counts the same kinds of arithmetic; None where there is none.

    Parameters
    ----------
    model : specification that is fitted.
    size : of the fit; a family without random restarts has one member.
    """
    given = size if model.has_members else dataclasses.replace(size, members=1)
    work = model.work(given)
    tables = [family[size.track] for family in measured()["seconds"].values() if size.track in family]
    own = measured()["seconds"].get(model.family, {}).get(size.track)
    alike = [own] if own else [table for table in tables if set(table) == set(work)]
    sums = [sum(amount * table[kind] for kind, amount in work.items()) for table in alike]
    return max(sums, default=None)


def of_step(cost: Cost) -> dict[str, float]:
    """Return seconds of the calibration's machine by kind of law.

    Parameters
    ----------
    cost : amounts by kind. A kind "fit/rate" or "forecasts/lds" that was not calibrated is taken for the
        dearest one of that name before the stroke that counts the same amounts.
    """
    return {kind: _of_kind(kind, work) for kind, work in cost.items()}


def _of_kind(kind: str, work: Work) -> float:
    known = measured()["steps"]
    alike = [table for name, table in known.items() if name.split("/")[0] == kind.split("/")[0]]
    tables = [known[kind]] if kind in known else [table for table in alike if set(table) == set(work)]
    return max(float(sum(amount * table[name] for name, amount in work.items())) for table in tables)


# -- what this machine was found to take -----------------------------------------------------------------


def _cache() -> Path:
    """Return the file of this machine's corrections, which belong to the constants that are there now."""
    return store.user_cache(f"costs-{hashlib.sha256(FILE.read_bytes()).hexdigest()[:16]}.json")


@functools.cache
def corrections() -> dict[str, float]:
    """Return measured over predicted seconds by kind of law, of studies that were run here."""
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # not there, no home, or not whole
        found: dict[str, float] = store.read_json(_cache())
        return found
    return {}


def correction(kind: str) -> float:
    """Return what the seconds of a law are multiplied by on this machine.

    That is what steps of this kind took here; else the median of the kinds alike, or of all that were made;
    else the speed of a short calculation.
    """
    known = corrections()
    if kind in known:
        return known[kind]
    alike = [value for name, value in known.items() if name.split("/")[0] == kind.split("/")[0]]
    return statistics.median(alike or known.values()) if known else pace()


def learn(steps: Iterable[tuple[str, float, float]]) -> dict[str, float]:
    """Keep for later estimates what steps of this machine took; return the factor of each kind.

    The factor is that of all steps of a kind together, so that long steps count for more, averaged with what
    was known before. Where the law says a minute of such steps, the two count alike; where it says less, what
    was known before counts for more.

    Parameters
    ----------
    steps : kind of law, seconds that it says (`of_step`), seconds that the step took.
    """
    sums: dict[str, np.ndarray] = {}
    for kind, said, took in steps:
        if min(said, took) >= _SHORTEST:
            sums[kind] = sums.get(kind, np.zeros(2)) + np.array([said, took])
    found = {
        kind: float((took + _HALF * correction(kind)) / (said + _HALF)) for kind, (said, took) in sums.items()
    }
    if found:
        with contextlib.suppress(OSError, RuntimeError):  # a home that cannot be written to
            store.write_json(corrections() | found, _cache())
        corrections.cache_clear()
    return found


def duration(value: float) -> str:
    """Return seconds as words with two digits: `40 s`, `12 min`, `3.5 h`."""
    for unit, scale in (("h", 3600.0), ("min", 60.0)):
        if value >= 1.5 * scale:
            return f"{float(f'{value / scale:.2g}'):g} {unit}"
    return f"{float(f'{value:.2g}'):g} s"
