"""One line per dynamical quantity of a fitted variant.

Its value, its uncertainty, and whether the members agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from cortseq.dynamics.intervals import half_width
from cortseq.observations.tracks import TRACKS

AGREE = 0.25  # sd over members relative to their mean, up to which a size counts as identified
NEAR = 1.0  # rms spreads of the visited states, up to which a fixed point is near them
MOST = 0.5  # share of the other members that have a fixed point, from which most members share it

Kind = Literal["size", "sign", "count"]


@dataclass(frozen=True)
class Quantity:
    """One line of the summary: a dynamical quantity and how it is read from a product.

    Attributes
    ----------
    name : as the table shows it.
    unit : "" for none; "time" and "bin" stand for the recording's own.
    map : what it is a number of: the closed, open or sampled map, or the weights.
    kind : what members must agree on: the size to 25 %, the sign, or the exact count.
    needs : variable of the product without which there is no line.
    values : function of the product, (member,) or (member, trial); None: the variable `needs` itself.
    left_out : whether the product holds `<needs>_left_out` (group, member), the same number with one group of
        trials left out each: where trials enter but are not averaged over.
    least : what a size or a count cannot be below.
    """

    name: str
    unit: str
    map: Literal["closed", "open", "sampled", "weights"]
    kind: Kind
    needs: str
    values: Callable[[xr.Dataset], np.ndarray] | None = None
    left_out: bool = False
    least: float = 0.0  # what a size or a count cannot be below: intervals end there

    def read(self, found: xr.Dataset) -> np.ndarray:
        """Return the values (member,) or (member, trial) of a product."""
        values = found[self.needs].values if self.values is None else self.values(found)
        return np.asarray(values, dtype=np.float64)

    def without(self, found: xr.Dataset) -> np.ndarray | None:
        """Return the values (group, member) with groups of trials left out; None where there are none."""
        variable = f"{self.needs}_left_out"
        return found[variable].values if self.left_out and variable in found else None


def _slowest(found: xr.Dataset) -> np.ndarray:
    """Return time constant of the slowest decaying mode at the fixed point nearest to the data, s."""
    modulus = np.hypot(found["nearest_eigenvalues_real"].values, found["nearest_eigenvalues_imag"].values)
    modulus = np.where(modulus < 1, modulus, np.nan)
    known = np.isfinite(modulus).any(1)
    slowest = np.full(len(modulus), np.nan)
    slowest[known] = -found.attrs["bin_width"] / np.log(np.nanmax(modulus[known], 1))
    return slowest


def _horizon(found: xr.Dataset) -> np.ndarray:
    """Return lag at which gradients fall to 1/e, bins; that of the longest lag where they never do."""
    values = found["gradient_horizon"].values
    return np.where(np.isinf(values), float(found["lag"].values.max()), values)


def _near(found: xr.Dataset) -> np.ndarray:
    return np.asarray((found["distance"].values <= NEAR).sum(1))


QUANTITIES = (
    Quantity("fixed points", "", "closed", "count", "speed", lambda f: np.isfinite(f["speed"].values).sum(1)),
    Quantity("fixed points near the data", "", "closed", "count", "distance", _near),
    Quantity(
        "stable fixed points", "", "closed", "count", "stable", lambda f: (f["stable"].values == 1).sum(1)
    ),
    Quantity(
        "fixed points most members share",
        "",
        "closed",
        "count",
        "shared",
        lambda f: (f["shared"].values >= MOST).sum(1),
    ),
    Quantity("line attractor", "", "closed", "count", "line_attractor"),
    Quantity("spectral radius, nearest point", "", "closed", "size", "nearest_radius"),
    Quantity("slowest time constant", "time", "closed", "size", "nearest_radius", _slowest),
    Quantity("departure from normality", "", "closed", "size", "henrici"),
    Quantity(
        "numerical abscissa of (J - 1)/dt", "1/time", "closed", "size", "numerical_abscissa", least=-np.inf
    ),
    Quantity("transient growth", "", "closed", "size", "transient_peak"),
    Quantity("largest Lyapunov exponent", "nats/bin", "closed", "sign", "leading_exponents"),
    Quantity("Kaplan-Yorke dimension", "", "closed", "size", "kaplan_yorke"),
    Quantity("entropy", "nats/bin", "closed", "size", "entropy"),
    Quantity(
        "a surprise lasts (to 1/e; at most 30)", "bins", "closed", "size", "surprise_span", left_out=True
    ),
    Quantity("share of a surprise left after 10 bins", "", "closed", "size", "surprise_left", left_out=True),
    Quantity("divergence of twins with common noise", "nats/bin", "sampled", "sign", "sampled_twin_slope"),
    Quantity("conditional exponent", "nats/bin", "open", "sign", "conditional_exponent"),
    Quantity("echo state (share of members)", "", "open", "count", "echo_holds"),
    Quantity("stretch of a step (< 1: echo state)", "", "open", "size", "echo_stretch"),
    Quantity("radius at rest (> 1: no echo state there)", "", "weights", "size", "echo_radius"),
    Quantity("memory capacity", "bins", "open", "size", "memory_capacity"),
    Quantity("gradient horizon (at most the trial)", "bins", "open", "size", "gradient_horizon", _horizon),
    Quantity("trials whose gradient vanishes", "share", "open", "size", "vanishing"),
    Quantity("trials whose gradient explodes", "share", "open", "size", "exploding"),
    Quantity("participation ratio", "", "open", "size", "participation_ratio", left_out=True),
    Quantity(
        "balance index",
        "",
        "open",
        "size",
        "balance_index",
        lambda f: _mean(f["balance_index"].values, 1),
        left_out=True,
    ),
    Quantity(
        "tracking lag",
        "bins",
        "open",
        "size",
        "tracking_lag",
        lambda f: np.nanmedian(f["tracking_lag"].values, 1),
        left_out=True,
        least=-np.inf,
    ),
    Quantity(
        "weight outliers",
        "",
        "weights",
        "count",
        "outlier_p",
        lambda f: (f["outlier_p"].values < 0.05).sum(1),
    ),
    Quantity("gain of the weights", "", "weights", "size", "gain"),
    Quantity("exponent of tanh(W h), fitted W", "nats/step", "weights", "sign", "weights_exponent"),
    Quantity(
        "the same, W shuffled",
        "nats/step",
        "weights",
        "sign",
        "shuffled_exponent",
        lambda f: f["shuffled_exponent"].values.mean(1),
    ),
    Quantity("the same, mean-field theory", "nats/step", "weights", "sign", "mean_field_exponent"),
    Quantity(
        "states told by another member (R²)",
        "",
        "open",
        "size",
        "states_r2",
        lambda f: _mean(f["states_r2"].values, 1),
        left_out=True,
        least=-np.inf,
    ),
)


def summarise(found: xr.Dataset) -> pd.DataFrame:
    """Return the table of a product of `laboratory.examine`, in the order of QUANTITIES.

    Returns
    -------
    quantity, unit, map, members, value (mean over members), low, high (95 %: the t interval over members and,
    where trials enter, 1.96 standard errors over trials, added in squares), sd (over members), verdict:
    "identified", "not identifiable: ..." or "one member", each : the members' values, separated by spaces.
    """
    rows = []
    for quantity in QUANTITIES:
        if quantity.needs in found:
            row = {"quantity": quantity.name, "unit": _unit(quantity, found), "map": quantity.map}
            rows.append(row | _row(quantity.read(found), quantity, quantity.without(found)))
    return pd.DataFrame([*rows, *_not_done(found)])


def _not_done(found: xr.Dataset) -> list[dict[str, Any]]:
    """Return a line without a value for every analysis that could not be done."""
    reasons = list(found.attrs.get("not_done", []))
    if "lyapunov" not in found and "chaotic_reason" in found.attrs:
        reasons.append(f"largest Lyapunov exponent: {found.attrs['chaotic_reason']}")
    members = found.sizes["member"]
    return [
        {
            "quantity": name,
            "unit": "",
            "map": "",
            "members": members,
            "verdict": f"not done: {reason}",
            "each": "",
        }
        for name, reason in (line.split(": ", 1) for line in reasons)
    ]


def _unit(quantity: Quantity, found: xr.Dataset) -> str:
    timed = TRACKS[found.attrs["track"]].timed
    if quantity.unit.endswith("time"):
        return quantity.unit.replace("time", "s" if timed else "symbol")
    return quantity.unit if timed else quantity.unit.replace("bin", "symbol")


def _row(values: np.ndarray, quantity: Quantity, left_out: np.ndarray | None) -> dict[str, Any]:
    per_member = values if values.ndim == 1 else _mean(values, 1)
    low, high = _interval(values, left_out)
    if quantity.kind != "sign":
        low, high = max(low, quantity.least), max(high, quantity.least)
    known = per_member[np.isfinite(per_member)]
    return {
        "members": len(per_member),
        "value": known.mean() if len(known) else per_member[0],
        "low": low,
        "high": high,
        "sd": known.std(ddof=1) if len(known) > 1 else np.nan,
        "verdict": verdict(per_member, quantity.kind),
        "each": " ".join(f"{v:.4g}" for v in per_member),
    }


def verdict(values: np.ndarray, kind: Kind) -> str:
    """Return whether the members (member,) say the same."""
    values = np.asarray(values, dtype=np.float64)
    known = values[~np.isnan(values)]
    if len(values) < 2:
        return "one member"
    if np.isinf(values).all():
        return "identified: infinite in every member"
    if len(known) < len(values) or (kind != "sign" and np.isinf(known).any()):
        undefined = len(values) - np.isfinite(values).sum()
        return f"not identifiable: undefined in {undefined} of {len(values)} members"
    if kind == "count":
        same, what = bool((known == known[0]).all()), f"{known.min():g} to {known.max():g}"
    elif kind == "sign":
        same, what = bool((known > 0).all() or (known < 0).all()), "signs differ"
    else:
        mean, sd = abs(known.mean()), known.std(ddof=1)
        same, what = (
            bool(sd <= AGREE * mean),
            f"sd is {100 * sd / mean if mean else np.inf:.0f} % of the mean",
        )
    return "identified" if same else f"not identifiable: {what}"


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0).sum(axis) / known.sum(axis))


def _interval(values: np.ndarray, left_out: np.ndarray | None = None) -> tuple[float, float]:
    """Return the 95 % interval of the mean over members.

    From the spread over members and, where known, over trials.

    Members share their trials: the spread of their means holds nothing of what trials do to all alike.
    """
    per_member = values if values.ndim == 1 else _mean(values, 1)
    m, middle = len(per_member), float(np.mean(per_member))
    trials = _error_over_trials(values, left_out)
    if not np.isfinite(per_member).all() or (m < 2 and not trials > 0):
        return float("nan"), float("nan")
    members = half_width(per_member) if m > 1 else 0.0
    half = float(np.hypot(members, 1.96 * trials))
    return middle - half, middle + half


def _error_over_trials(values: np.ndarray, left_out: np.ndarray | None) -> float:
    """Return the standard error over trials of the mean over members.

    Of the trials' means, or by the jackknife; 0 without.
    """
    if left_out is not None and len(left_out) > 1:
        without = _mean(left_out, 1)
        without = without[np.isfinite(without)]
        n = len(without)
        return 0.0 if n < 2 else float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    if values.ndim == 2 and values.shape[1] > 1:
        of_trial = _mean(values, 0)
        known = of_trial[np.isfinite(of_trial)]
        return float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else 0.0
    return 0.0
