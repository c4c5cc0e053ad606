"""What a phenomenon predicts beside what was measured, as lines of one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, SupportsFloat

import numpy as np

from cortseq._lazy import pd, xr


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


@dataclass(frozen=True)
class Part:
    """What one experiment of a phenomenon gives: arrays to draw and the checks made of them.

    Attributes
    ----------
    variables : of the product, name -> (dims, values) or (dims, values, attributes).
    checks : numbers of the claim.
    coords : of the product, likewise.
    """

    variables: dict[str, Any]
    checks: Sequence[Check] = ()
    coords: dict[str, Any] = field(default_factory=dict)


def near(
    what: str, predicted: SupportsFloat, measured: SupportsFloat, within: float, row: str = "", note: str = ""
) -> Check:
    """Return a check that `measured` is within `within` of `predicted`."""
    p = float(predicted)
    return Check(what, p, float(measured), p - within, p + within, row, note)


def close(
    what: str, predicted: SupportsFloat, measured: SupportsFloat, share: float, row: str = "", note: str = ""
) -> Check:
    """Return a check that `measured` is within this share of `predicted`."""
    return near(what, predicted, measured, share * abs(float(predicted)), row, note)


def below(
    what: str,
    predicted: SupportsFloat,
    measured: SupportsFloat,
    high: SupportsFloat,
    row: str = "",
    note: str = "",
) -> Check:
    """Return a check that `measured` is at most `high`."""
    return Check(what, float(predicted), float(measured), high=float(high), row=row, note=note)


def above(
    what: str,
    predicted: SupportsFloat,
    measured: SupportsFloat,
    low: SupportsFloat,
    row: str = "",
    note: str = "",
) -> Check:
    """Return a check that `measured` is at least `low`."""
    return Check(what, float(predicted), float(measured), low=float(low), row=row, note=note)


def reported(
    what: str, predicted: SupportsFloat, measured: SupportsFloat, row: str = "", note: str = ""
) -> Check:
    """Return a number without bounds, which is reported and holds nothing."""
    return Check(what, float(predicted), float(measured), row=row, note=note)


def worst(ratio: np.ndarray) -> float:
    """Return the ratio, of any shape, that is furthest from 1."""
    return float(ratio.flat[np.abs(ratio - 1).argmax()])


def phenomenon(claim: str, parts: Sequence[Part], **attrs: Any) -> xr.Dataset:
    """Return the product of a phenomenon: what is drawn, the claim in its corrected form, and the checks."""
    checks = [asdict(check) for part in parts for check in part.checks]
    variables = {name: value for part in parts for name, value in part.variables.items()}
    coords = {name: value for part in parts for name, value in part.coords.items()}
    return xr.Dataset(variables, coords, {"claim": claim, "checks": json.dumps(checks), **attrs})


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
