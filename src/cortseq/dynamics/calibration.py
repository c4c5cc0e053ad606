"""Intervals calibrated by refits: how far off the same analysis is where the truth is known.

A parametric bootstrap: a fitted network is the truth, draws a recording of the same size, and is fitted and
examined again. Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import pd, xr
from cortseq.dynamics import laboratory, summary
from cortseq.dynamics.quantities import QUANTITIES

FEWEST = 19  # refits, whose largest miss is exceeded by another in 5 % of the cases
LEVEL = 0.95
ONE_SIDED, LARGE = 0.8, summary.AGREE  # share of refits that err to one side, and their mean error of a truth
_OF_A_GENERATOR = ("true_rates", "ceiling")


def drawn(fit: Any, recording: xr.Dataset, member: int = 0, seed: int = 0) -> xr.Dataset:
    """Return a recording of the size of another one, with its missing bins, drawn from one member of a Fit.

    Its inputs are those of the other one.

    Parameters
    ----------
    fit : cortseq.models Fit of a recurrent model.
    recording : the Recording it was fitted to.
    """
    name, valid = rec.track(recording), recording["valid"]
    inputs = recording["inputs"].values if fit.card["n_inputs"] else None
    run = fit.simulate(*valid.shape, member=member, seed=seed, inputs=inputs)[name]
    old = recording[name].transpose("trial", "time", ...)
    known = valid.values.reshape(*valid.shape, *[1] * (old.ndim - 2))
    new = old.copy(data=np.where(known, run.values, old.values).astype(old.dtype))
    return recording.drop_vars(_OF_A_GENERATOR, errors="ignore").assign({name: new})


def refit(
    fit: Any,
    recording: xr.Dataset,
    roles: dict[str, Any],
    draw: int,
    seed: int = 0,
    device: str = "auto",
    say: Callable[..., Any] = print,
    analyses: Sequence[Callable[..., Any]] = laboratory.NUMBERS,
    start: Any = None,
) -> pd.DataFrame:
    """Fit a network to a draw of itself; return what is true and what is found of each quantity.

    Parameters
    ----------
    fit : cortseq.models Fit of a recurrent model.
    recording : the Recording it was fitted to.
    roles : positions (trial,) of "train", "valid" and "test" trials.
    draw : number of the refit: member `draw` (modulo the members) is the truth.
    analyses : those of `laboratory.examine`.
    start : the earlier fit that `fit` began with, None without; a cell that was moved stays as it is.

    Returns
    -------
    quantity, truth : of the member that drew the recording, value : mean over the members fitted to it.
    """
    members, made = fit.card["members"], seed + 1000 * (draw + 1)
    one = fit.only(draw % members)
    spikes = drawn(one, recording, seed=made)
    how = members, made, device, say, None, start
    again = fit.model.fit(spikes, roles["train"], roles["valid"], *how)
    found = [
        laboratory.examine(f, spikes, roles["train"], roles["test"], "", seed, say, analyses)
        for f in (one, again)
    ]
    truth, value = (summary.summarise(f).set_index("quantity")["value"] for f in found)
    return pd.DataFrame({"truth": truth, "value": value}).rename_axis("quantity").reset_index()


def calibrated(table: pd.DataFrame, refits: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the table of `summary.summarise` with intervals widened to hold the truth in 95 % of refits.

    The interval of a value reaches at least to `value +- q`, where `q` is the `ceil(0.95 (n + 1))`-th
    smallest of the n distances between truth and value in the refits; none becomes narrower. A line that
    fewer than 19 refits have keeps its interval. A sign whose calibrated interval holds 0 is not identified.

    Where four of five refits err to one side, by more than a quarter of the truth on average, what is fitted
    lies some way from what drew the recording, and how far the truth of the recording lies on the other side
    refits cannot tell: the interval has no end there, and a size is not identified.
    Weights and norms of Jacobians keep theirs, too, and the line says so: they depend on the coordinates of
    the state, so that no value of the recording is there to be held (`Quantity.of_coordinates`).

    Parameters
    ----------
    refits : tables of `refit`.
    """
    by_name = {quantity.name: quantity for quantity in QUANTITIES}
    known = dict(list(pd.concat(refits, ignore_index=True).groupby("quantity")))
    rows = [
        _widened(row, by_name[row["quantity"]], known[row["quantity"]])
        if row["quantity"] in by_name and row["quantity"] in known
        else row
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=table.columns)


def _widened(row: dict[str, Any], quantity: Any, refits: pd.DataFrame) -> dict[str, Any]:
    """Return a line with its calibrated interval; `refits`: the truth of each and the value it found."""
    if quantity.of_coordinates and row["interval"]:
        return row | {"interval": f"{row['interval']}; not calibrated: it depends on the coordinates"}
    truth, value = refits["truth"].to_numpy(float), refits["value"].to_numpy(float)
    fine = np.isfinite(truth) & np.isfinite(value)
    errors, n = value[fine] - truth[fine], int(fine.sum())
    if n < FEWEST or not np.isfinite([row["value"], row["low"]]).all():
        return row
    half = np.sort(np.abs(errors))[int(np.ceil(LEVEL * (n + 1))) - 1]
    low, high = min(row["low"], row["value"] - half), max(row["high"], row["value"] + half)
    verdict, how = row["verdict"], f"calibrated by {n} refits"
    if side := _side(errors, float(np.abs(truth[fine]).mean())):
        low, high = (-np.inf, high) if side > 0 else (low, np.inf)
        way, end = ("high", "lower") if side > 0 else ("low", "upper")
        how += f", which come out too {way}: no {end} end"
        if quantity.kind != "sign" and verdict == "identified":
            verdict = f"not identifiable: refits come out too {way}"
    if quantity.kind != "sign":
        low, high = np.clip((low, high), quantity.least, quantity.most)
    elif verdict.startswith("identified") and low <= 0 <= high:
        verdict = "not identifiable: the interval holds 0"
    return row | {"low": low, "high": high, "verdict": verdict, "interval": how}


def _side(errors: np.ndarray, size: float) -> int:
    """Return 1 or -1 where nearly all errors (refit,) are above or below 0 and large for a `size`; else 0."""
    for side in (1, -1):
        if (side * errors > 0).mean() >= ONE_SIDED and abs(errors.mean()) > LARGE * size:
            return side
    return 0
