"""Type I error and power of the test for outlying eigenvalues (`python -m benchmarks.outliers`).

Matrices that are nothing but bulk, and the same with one eigenvalue planted outside it. Writes a table, `<output>.md` and `<output>.json`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from cortseq import dynamics, store

ALPHA = 0.05
GAIN = 0.8  # standard deviation of the logarithm of a unit's gain
_FEW = 49  # shuffles after which most matrices are settled


@dataclass(frozen=True)
class Rate:
    """How often the largest eigenvalue was called an outlier in `draws` matrices, with an exact 95 % interval."""

    matrix: str
    null: str
    planted: float
    draws: int
    found: float
    low: float
    high: float


def gaussian(rng: np.random.Generator, n: int) -> tuple[np.ndarray, None]:
    """Independent entries, radius 1 (Girko 1985)."""
    return rng.normal(0, 1 / np.sqrt(n), (n, n)), None


def dale(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gamma entries of one sign a column, 80 % excitatory, balanced in the mean (Rajan & Abbott 2006).

    No row sums to zero.
    """
    signs = np.where(np.arange(n) < 0.8 * n, 1.0, -1.0)
    scale = np.where(signs > 0, 0.5, 2.0) / np.sqrt(n)
    return signs * rng.gamma(1.0, 1.0, (n, n)) * scale * (1 - np.eye(n)), signs


def dale_zero_rows(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The same, inhibition of each row scaled so that the row sums to zero: eigenvalues confined to the bulk."""
    w, signs = dale(rng, n)
    inhibitory = signs < 0
    w[:, inhibitory] *= -(w[:, ~inhibitory].sum(1) / w[:, inhibitory].sum(1))[:, None]
    return w, signs


def with_gains(rng: np.random.Generator, n: int, kind: Callable, rows: bool, columns: bool) -> tuple:
    """The same, each unit's row or column or both times its log-normal gain (sd of the logarithm: GAIN)."""
    w, signs = kind(rng, n)
    gains = np.exp(GAIN * rng.normal(size=n))
    return w * np.where(rows, gains, 1.0)[:, None] * np.where(columns, gains, 1.0), signs


KINDS: dict[str, Callable] = {
    "independent entries": gaussian,
    "independent, rows of unequal gain": partial(with_gains, kind=gaussian, rows=True, columns=False),
    "independent, columns of unequal gain": partial(with_gains, kind=gaussian, rows=False, columns=True),
    "independent, units of unequal gain": partial(with_gains, kind=gaussian, rows=True, columns=True),
    "Dale's law, balanced in the mean": dale,
    "Dale's law, units of unequal gain": partial(with_gains, kind=dale, rows=True, columns=True),
    "Dale's law, rows sum to zero": dale_zero_rows,
}

NULLS: dict[str, dict] = {
    "entries": {},
    "entries of a row": {"keep_row_sums": True},
    "profile": {"null": "profile"},
}


def measure(kind: str, null: str, planted: float, draws: int, n: int, permutations: int, seed: int) -> Rate:
    """`planted` : modulus of the outlier in radii of the bulk that rows and columns predict; 0: none."""
    hits = 0
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        w, signs = KINDS[kind](rng, n)
        if planted:
            u = rng.normal(size=n)
            w = w + planted * dynamics.predicted_disc(w, signs)[1] * np.outer(u, u) / (u @ u)
        hits += significant(w, signs, permutations, draw, null)
    low, high = binomtest(hits, draws).proportion_ci(0.95)
    return Rate(kind, null, planted, draws, hits / draws, low, high)


def significant(w: np.ndarray, signs, permutations: int, seed: int, null: str = "entries") -> bool:
    """Whether `dynamics.outliers` finds one. The first shuffles are the same whatever their number: where enough
    of a few reach the largest eigenvalue, the rest cannot make it one, and is spared (Besag & Clifford 1991,
    Biometrika 78:301)."""
    if permutations > _FEW:
        p = dynamics.outliers(w, signs, _FEW, seed, **NULLS[null]).p_values[0]
        if p * (_FEW + 1) >= ALPHA * (permutations + 1):
            return False
    return bool(dynamics.outliers(w, signs, permutations, seed, **NULLS[null]).is_outlier.any())


def table(rates: list[Rate]) -> str:
    """The results as a table of Markdown."""
    lines = [
        f"| {r.matrix} | {r.null} | {f'{r.planted:g} radii' if r.planted else 'none'} | {r.draws} "
        f"| {r.found:.3f} | {r.low:.3f} to {r.high:.3f} |"
        for r in rates
    ]
    return "\n".join(
        [
            "| matrix | null | planted | draws | found | 95 % interval |",
            "|---|---|---|---:|---:|---|",
            *lines,
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure type I error, then power, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outliers", description=__doc__)
    for name, default in (
        ("n", 100),
        ("draws", 200),
        ("power_draws", 100),
        ("permutations", 199),
        ("seed", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--planted", type=float, default=1.3, help="modulus of the outlier, in radii")
    parser.add_argument("--null", choices=list(NULLS), nargs="+", default=["profile", "entries"])
    parser.add_argument("--output", type=Path, default=Path("results/bench/outliers"))
    given = parser.parse_args(arguments)
    rates = []
    for planted, draws in ((0.0, given.draws), (given.planted, given.power_draws)):
        for null, kind in product(given.null, KINDS):
            rates.append(measure(kind, null, planted, draws, given.n, given.permutations, given.seed))
            print(table(rates[-1:]).splitlines()[-1], flush=True)
    store.write_text(table(rates) + "\n", given.output.with_suffix(".md"))
    store.write_json(
        {"n": given.n, "permutations": given.permutations, "rates": [asdict(r) for r in rates]},
        given.output.with_suffix(".json"),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
