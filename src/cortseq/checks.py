"""What a phenomenon predicts beside what was measured, as lines of one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr


@dataclass(frozen=True)
class Check:
    """One number of the claim: `predicted` by theory code, `measured` by simulation or fitting.

    low, high : where `measured` must lie for the claim to hold (NaN: no bound on that side). row : of the
    list of capabilities (C25), or "". note : the known reason of a difference (finite size, one seed, ...).
    """

    what: str
    predicted: float
    measured: float
    low: float = float("nan")
    high: float = float("nan")
    row: str = ""
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the measured number lies where it must; false where it is NaN."""
        return bool(np.isfinite(self.measured)) and not (
            self.measured < self.low or self.measured > self.high
        )


def near(
    what: str, predicted: float, measured: float, within: float, row: str = "", note: str = "", relative=False
) -> Check:
    """Return a check that `measured` is within `within` (or that share, if relative) of `predicted`."""
    margin = within * abs(predicted) if relative else within
    return Check(what, float(predicted), float(measured), predicted - margin, predicted + margin, row, note)


def worst(ratio: np.ndarray) -> float:
    """Return the ratio, of any shape, that is furthest from 1."""
    return float(ratio.flat[np.abs(ratio - 1).argmax()])


def phenomenon(
    variables: dict[str, Any],
    claim: str,
    checks: Sequence[Check],
    coords: dict[str, Any] | None = None,
    **attrs,
) -> xr.Dataset:
    """Return the product of a phenomenon: what is drawn, the claim in its corrected form, and the checks."""
    attrs = {"claim": claim, "checks": json.dumps([asdict(c) for c in checks]), **attrs}
    return xr.Dataset(variables, coords, attrs)


def table(found: xr.Dataset) -> pd.DataFrame:
    """Return the checks of a product, one row each, with `holds`."""
    checks = [Check(**row) for row in json.loads(found.attrs["checks"])]
    return pd.DataFrame([{**asdict(c), "holds": c.holds} for c in checks])


def tally(table: pd.DataFrame) -> str:
    """Return how many checks hold; a number without bounds is no check, it is reported."""
    bounded = table[["low", "high"]].notna().any(axis=1)
    held = int(table.loc[bounded, "holds"].sum())
    reported = int((~bounded).sum())
    return f"{held} of {int(bounded.sum())} checks hold" + (
        f", {reported} numbers are reported" if reported else ""
    )
