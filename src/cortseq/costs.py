"""Laws of cost: about how many seconds a fit takes, before anything is fitted.

    seconds = (speed of this machine) x sum over kinds of arithmetic of (amount x seconds of one)

A family says the amounts (`Model.work`). The seconds were measured by `python -m benchmarks.costs`, which
writes costs.json beside this file; a short fixed calculation tells how fast this machine is beside that one.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from cortseq.models.base import Model
from cortseq.models.work import Size

FILE = Path(__file__).with_suffix(".json")
_ROUNDS = 5


@functools.cache
def measured() -> dict[str, Any]:
    """Return what the calibration found: `speed_s`, `job_s`, `job_mb`, and seconds by family and track."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def speed_seconds() -> float:
    """Return the CPU seconds that a fixed calculation takes on this machine, the least of a few rounds.

    It is mostly plain Python and elementwise functions: fits of usual sizes spend less on matrix products.
    """
    from threadpoolctl import threadpool_limits

    left, product = np.full((200, 200), 0.5, np.float32), np.empty((200, 200), np.float32)
    values, powers, taken = np.linspace(0, 1, 100_000), np.empty(100_000), []
    with threadpool_limits(1):
        for _ in range(_ROUNDS):  # into arrays that are there: what new pages cost depends on the process
            start = time.process_time()
            np.matmul(left, left, out=product)
            for _ in range(10):
                np.tanh(product, out=left)
            np.exp(values, out=powers)
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


def duration(value: float) -> str:
    """Return seconds as words with two digits: `40 s`, `12 min`, `3.5 h`."""
    for unit, scale in (("h", 3600.0), ("min", 60.0)):
        if value >= 1.5 * scale:
            return f"{float(f'{value / scale:.2g}'):g} {unit}"
    return f"{float(f'{value:.2g}'):g} s"
