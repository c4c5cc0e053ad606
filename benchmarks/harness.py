"""Timing in turns, agreement, rows and laws.

Times are CPU seconds of the process, its threads together, and medians over rounds in which ours and every
peer take one turn: what others do on the machine, and its slow drifts, fall on all alike. One thread each is
enforced: the process is bound to one CPU before anything is imported.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cortseq.timing import Law, in_turns

AVX2_SHARE = 0.6  # of a target where the CPU has no AVX-512
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Disagreement(Exception):
    """Ours and a peer do not compute the same: there is no speed to compare."""


@dataclass(frozen=True)
class Peer:
    """`disagreement(ours, theirs)` is a number; above `tolerance` it is an error. `run` is None: not installed.

    The peer's time counts `times` times: what it does for one member, ours does for all.
    """

    name: str
    run: Callable[[], Any] | None
    disagreement: Callable[[Any, Any], float]
    tolerance: float
    target: float | None = None
    times: int = 1


@dataclass(frozen=True)
class Case:
    """One piece of work: ours, and the peers that do the same."""

    name: str
    ours: Callable[[], Any]
    peers: list[Peer] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """A measured pair, as in bench.json."""

    name: str
    ours_seconds: float
    peer: str
    peer_seconds: float
    ratio: float
    target: float | None
    equal_to: float


def compare(case: Case, clock: Callable[[], float] = time.process_time) -> Iterator[Row]:
    """Rows of one case. The first call of each (compilation, caches) is not timed: its result is compared."""
    ours = case.ours()
    peers = [peer for peer in case.peers if peer.run is not None]
    equal = {}
    for peer in peers:
        equal[peer.name] = float(peer.disagreement(ours, peer.run()))  # type: ignore[misc]
        if not equal[peer.name] <= peer.tolerance:
            raise Disagreement(
                f"{case.name}: ours and {peer.name} differ by {equal[peer.name]:.1e} (> {peer.tolerance:g})"
            )
    del ours
    seconds = in_turns([case.ours, *(peer.run for peer in peers)], clock)  # type: ignore[list-item]
    for peer, theirs in zip(peers, seconds[1:], strict=True):
        theirs *= peer.times
        yield Row(
            case.name, seconds[0], peer.name, theirs, theirs / seconds[0], peer.target, equal[peer.name]
        )


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


# -- the machine -----------------------------------------------------------------------------------


def environment(environ: dict[str, str]) -> dict[str, str]:
    """`environ` with one thread for everybody and no OPENBLAS_CORETYPE, which hides AVX-512."""
    kept = {name: value for name, value in environ.items() if name != "OPENBLAS_CORETYPE"}
    xla = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return {**kept, **dict.fromkeys(THREADS, "1"), "XLA_FLAGS": xla, "CORTSEQ_BENCH": "1"}


def alone() -> None:
    """Starts this program again in `environment` and on one CPU; numpy reads both when it is imported."""
    if os.environ.get("CORTSEQ_BENCH") == "1" and "OPENBLAS_CORETYPE" not in os.environ:
        return
    if hasattr(os, "sched_setaffinity"):  # XLA and others start as many threads as there are CPUs to use
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    sys.stdout.flush()
    os.execve(
        sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], environment(dict(os.environ))
    )


def cpu() -> tuple[str, bool]:
    """The CPU's name and whether it has AVX-512."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine(), False
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return facts.get("model name", platform.machine()), "avx512f" in facts.get("flags", "").split()


def target(ratio: float | None) -> float | None:
    """The ratio asked for on this CPU."""
    return ratio if ratio is None or cpu()[1] else round(AVX2_SHARE * ratio, 3)


def machine() -> dict:
    """What the figures were measured on."""
    name, avx512 = cpu()
    versions = {}
    for package in (
        "torch",
        "jax",
        "numba",
        "numpy",
        "scipy",
        "reservoirpy",
        "hmmlearn",
        "dynamax",
        "scikit-learn",
        "glum",
        "nemos",
        "pynapple",
        "elephant",
    ):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "cpu": name,
        "avx512": avx512,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "date": time.strftime("%Y-%m-%d"),
    }


# -- what is shown -----------------------------------------------------------------------------------


def line(row: Row) -> str:
    """One aligned line of the table."""
    verdict = "" if row.target is None else ("met" if row.ratio >= row.target else "MISSED")
    wanted = "-" if row.target is None else f"{row.target:.2f}x"
    return (
        f"{row.name:<54}{row.peer:<24}{1e3 * row.ours_seconds:>10.2f}{1e3 * row.peer_seconds:>11.2f}"
        f"{row.ratio:>9.2f}x{wanted:>10} {verdict:<7}{row.equal_to:>9.1e}"
    )


_TIMES = f"{'ours ms':>10}{'peer ms':>11}{'ratio':>10}{'target':>10}"
HEAD = f"{'work':<54}{'peer':<24}{_TIMES} {'':<7}{'equal to':>9}"


def document(rows: list[Row], laws: list[Law], not_measured: list[str]) -> dict:
    """The content of bench.json."""
    return {
        "rows": [asdict(row) for row in rows],
        "laws": [asdict(one) for one in laws],
        "not_measured": not_measured,
        "machine": machine(),
    }
