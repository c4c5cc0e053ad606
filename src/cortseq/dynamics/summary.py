"""One line per dynamical quantity of a fitted variant: its value, its uncertainty, and whether the members agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

AGREE = 0.25  # sd over members relative to their mean, up to which a size counts as identified
MOST = 0.5  # share of the other members that have a fixed point, from which most members share it
_RESAMPLES = 2000

Kind = Literal["size", "sign", "count"]


@dataclass(frozen=True)
class Quantity:
    """What is told of a variant. values : (member,) or (member, trial) out of the product. kind : what members
    must agree on: the size to 25 %, the sign, or the exact count."""

    name: str
    unit: str
    map: Literal["closed", "open", "sampled", "weights"]
    kind: Kind
    needs: str
    values: Callable[[xr.Dataset], np.ndarray]


def _of(variable: str) -> Callable[[xr.Dataset], np.ndarray]:
    return lambda found: found[variable].values.astype(float)


def _slowest(found: xr.Dataset) -> np.ndarray:
    """Time constant of the slowest decaying mode at the fixed point nearest to the data, s."""
    modulus = np.hypot(found["nearest_eigenvalues_real"].values, found["nearest_eigenvalues_imag"].values)
    modulus = np.where(modulus < 1, modulus, np.nan)
    known = np.isfinite(modulus).any(1)
    slowest = np.full(len(modulus), np.nan)
    slowest[known] = -found.attrs["bin_width"] / np.log(np.nanmax(modulus[known], 1))
    return slowest


def _horizon(found: xr.Dataset) -> np.ndarray:
    """Lag at which gradients fall to 1/e, bins; that of the longest lag where they never do."""
    values = found["gradient_horizon"].values
    return np.where(np.isinf(values), float(found["lag"].values.max()), values)


QUANTITIES = (
    Quantity("fixed points", "", "closed", "count", "speed", lambda f: np.isfinite(f["speed"].values).sum(1)),
    Quantity("stable fixed points", "", "closed", "count", "stable", lambda f: (f["stable"].values == 1).sum(1)),
    Quantity("fixed points most members share", "", "closed", "count", "shared", lambda f: (f["shared"].values >= MOST).sum(1)),
    Quantity("line attractor", "", "closed", "count", "line_attractor", _of("line_attractor")),
    Quantity("spectral radius, nearest point", "", "closed", "size", "nearest_radius", _of("nearest_radius")),
    Quantity("slowest time constant", "time", "closed", "size", "nearest_radius", _slowest),
    Quantity("departure from normality", "", "closed", "size", "henrici", _of("henrici")),
    Quantity("transient growth", "", "closed", "size", "transient_peak", _of("transient_peak")),
    Quantity("largest Lyapunov exponent", "nats/bin", "closed", "sign", "leading_exponents", _of("leading_exponents")),
    Quantity("Kaplan-Yorke dimension", "", "closed", "size", "kaplan_yorke", _of("kaplan_yorke")),
    Quantity("entropy", "nats/bin", "closed", "size", "entropy", _of("entropy")),
    Quantity("divergence of twins with common noise", "nats/bin", "sampled", "sign", "sampled_twin_slope", _of("sampled_twin_slope")),
    Quantity("conditional exponent", "nats/bin", "open", "sign", "conditional_exponent", _of("conditional_exponent")),
    Quantity("echo state (share of members)", "", "open", "count", "echo_holds", _of("echo_holds")),
    Quantity("gradient horizon (at most the trial)", "bins", "open", "size", "gradient_horizon", _horizon),
    Quantity("participation ratio", "", "open", "size", "participation_ratio", _of("participation_ratio")),
    Quantity("balance index", "", "open", "size", "balance_index", lambda f: np.nanmean(f["balance_index"].values, 1)),
    Quantity("tracking lag", "bins", "open", "size", "tracking_lag", lambda f: np.nanmedian(f["tracking_lag"].values, 1)),
    Quantity("weight outliers", "", "weights", "count", "outlier_p", lambda f: (f["outlier_p"].values < 0.05).sum(1)),
    Quantity("states told by another member (R²)", "", "open", "size", "states_r2", lambda f: np.nanmean(f["states_r2"].values, 1)),
)  # fmt: skip


def summarise(found: xr.Dataset) -> pd.DataFrame:
    """The table of a product of `laboratory.examine`, in the order of QUANTITIES.

    Returns
    -------
    quantity, unit, map, members, value (mean over members), low, high (95 %: members and trials resampled where
    trials enter, a t interval over members where they do not), sd (over members), verdict: "identified", "not
    identifiable: ..." or "one member".
    """
    rows = []
    for quantity in QUANTITIES:
        if quantity.needs in found:
            unit = quantity.unit
            if unit == "time":
                unit = "s" if found.attrs["bin_width"] != 1.0 else "symbols"
            values = np.asarray(quantity.values(found), dtype=np.float64)
            row = {
                "quantity": quantity.name,
                "unit": unit,
                "map": quantity.map,
                **_row(values, quantity, found),
            }
            rows.append(row)
    return pd.DataFrame(rows)


def _row(values: np.ndarray, quantity: Quantity, found: xr.Dataset) -> dict:
    per_member = values if values.ndim == 1 else _mean(values, 1)
    low, high = _interval(values, per_member, int(found.attrs["seed"]))
    known = per_member[np.isfinite(per_member)]
    return {
        "members": len(per_member),
        "value": known.mean() if len(known) else np.nanmean(per_member),
        "low": low,
        "high": high,
        "sd": known.std(ddof=1) if len(known) > 1 else np.nan,
        "verdict": verdict(per_member, quantity.kind),
    }


def verdict(values: np.ndarray, kind: Kind) -> str:
    """Whether the members (member,) say the same."""
    values = np.asarray(values, dtype=np.float64)
    known = values[np.isfinite(values)]
    if len(values) < 2:
        return "one member"
    if np.isinf(values).all():
        return "identified: infinite in every member"
    if len(known) < len(values):
        return f"not identifiable: undefined in {len(values) - len(known)} of {len(values)} members"
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
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis) / known.sum(axis)


def _interval(values: np.ndarray, per_member: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % interval of the mean over members."""
    from scipy.stats import t

    m = len(per_member)
    if values.ndim == 1 or values.shape[1] < 2:
        if m < 2 or not np.isfinite(per_member).all():
            return float("nan"), float("nan")
        half = t.ppf(0.975, m - 1) * per_member.std(ddof=1) / np.sqrt(m)
        return float(per_member.mean() - half), float(per_member.mean() + half)
    rng = np.random.default_rng([seed, 0xD1])
    rows = rng.integers(m, size=(_RESAMPLES, m, 1))
    columns = rng.integers(values.shape[1], size=(_RESAMPLES, 1, values.shape[1]))
    means = _mean(values[rows, columns].reshape(_RESAMPLES, -1), 1)
    low, high = np.nanquantile(means, [0.025, 0.975])
    return float(low), float(high)
