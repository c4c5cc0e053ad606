"""`inputs:` of an entry: what models see of what the animal saw and did, and where a file says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PREFIX = "inputs."  # of what is read for inputs, among the covariates of a raw Dataset
KINDS = ("event", "value", "label", "series")
_TIMES = ("event", "begin", "end")  # roles that are times

Positive = Annotated[float, Field(gt=0)]


class Basis(BaseModel):
    """Filters over the past of an input: `n` raised cosines, evenly spaced in the logarithm of the lag."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    raised_cosine: Annotated[int, Field(ge=1, le=64)] = Field(description="number of filters")
    span_ms: Positive = Field(description="how far back the longest filter reaches, ms")


class Input(BaseModel):
    """One input of a dataset: exactly one of `event`, `value`, `label` and `series`.

    A name is that of a column of the trial table, of an array with one value per trial or, for `series` and
    `event`, of a time series. The input of a bin is known when that bin is predicted, `lag` bins late.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True
    )

    event: str | None = Field(None, description="times: 1 in the bin of each, 0 in all others")
    value: str | None = Field(None, description="a number of the trial, held from `from` to `to`, else 0")
    label: str | None = Field(None, description="a label of the trial: one input per label, 1 where it holds")
    series: str | None = Field(None, description="a time series: the mean of its samples in the bin")
    begin: str | None = Field(
        None, alias="from", description="value, label: times from which it holds; default: the whole trial"
    )
    end: str | None = Field(None, alias="to", description="value, label: times at which it ends")
    lag: Annotated[int, Field(ge=0, le=10_000)] | None = Field(
        None,
        description="bins by which it comes late; default: 1 for series, measured during the bin, else 0",
    )
    clock: Literal["recording", "trial"] | None = Field(
        None,
        description="times are on the recording's clock or counted from time zero of their trial; default: "
        "trial where spikes are, else recording",
    )
    time_unit: Literal["s", "ms", "us"] | None = Field(
        None, description="unit of times; default: that of the entry's times"
    )
    path: str | None = Field(
        None, description="file beside the recording that holds the series, or the times of the events"
    )
    time: str | None = Field(None, description="series of a file at `path`: its column of times")
    period: Positive | None = Field(
        None, description="value, series: an angle, with this period; it becomes its cosine and sine"
    )
    bumps: Annotated[int, Field(ge=2, le=200)] | None = Field(
        None, description="value, series: so many bumps along its range, as place fields have, in its place"
    )
    basis: Basis | None = Field(None, description="filters over its past, in place of the input itself")

    @property
    def kind(self) -> str:
        """Which of the four kinds it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def delay(self) -> int:
        """Bins by which it comes late."""
        return int(self.kind == "series") if self.lag is None else self.lag

    @property
    def names(self) -> dict[str, str]:
        """What is read from the recording's own file: the name by role (`kind`, begin, end)."""
        roles = () if self.path else (self.kind, "begin", "end")
        return {role: getattr(self, role) for role in roles if getattr(self, role) is not None}

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(KINDS)} (got {', '.join(given) or 'none'})")
        held = self.kind in ("value", "label")
        if (self.begin or self.end) and not held:
            raise ValueError(f"from, to: are for value and label, not for {self.kind} -- remove them")
        if (self.period or self.bumps) and self.kind not in ("value", "series"):
            raise ValueError(f"period, bumps: are for value and series, not for {self.kind} -- remove them")
        if self.path and held:
            raise ValueError(f"path: is for series and event; a {self.kind} is read with the trials")
        if (self.time is not None) != (self.path is not None and self.kind == "series"):
            raise ValueError("time: names the column of times of a series that a file at `path` holds")
        return self


def label_of(name: str, role: str) -> str:
    """Return under which label a raw Dataset holds what an input is made of."""
    return f"{PREFIX}{name}.{role}"


def asked(inputs: Mapping[str, Input]) -> dict[str, str]:
    """Return what is read beside the covariates, as further ones: name in the file by label."""
    return {
        label_of(name, role): column for name, one in inputs.items() for role, column in one.names.items()
    }
