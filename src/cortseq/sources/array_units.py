"""Units of an array: the axis they lie on, their names, and their labels for `select`."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field, Strict

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources.archive import Archive
from cortseq.sources.base import Axis, Source
from cortseq.sources.trials import Unit


class ArrayUnits(Source):
    """Keys that lists of spikes and dense arrays share: axes, unit of time, names and labels of units."""

    unit_names: str | None = Field(None, description="key: name of each unit")
    axes: Annotated[tuple[Axis, ...], Strict(False)] = Field(
        ("trial", "unit", "time"), description="what the axes of the dense array (or of cells of spikes) are"
    )
    time_unit: Unit = Field("s", description="unit of `spike_times` and `time`")
    units: dict[str, str] = Field(
        default_factory=dict, description="label: key, one value per unit; for `select`"
    )

    def _labels(self, archive: Archive) -> dict[str, np.ndarray]:
        """Return label -> its value of each unit, (unit,)."""
        return {label: archive.get(key, f"units.{label}").ravel() for label, key in self.units.items()}

    @staticmethod
    def _labelled(raw: xr.Dataset, labels: dict[str, np.ndarray], along: str, archive: Archive) -> xr.Dataset:
        """Return the Dataset with the labels, (unit,) each, as coordinates along `along`."""
        for label, values in labels.items():
            archive.same_length(values, raw.sizes[along], "units", label)
            raw = raw.assign_coords({label: (along, values)})
        return raw

    def _named(self, archive: Archive, raw: xr.Dataset) -> xr.Dataset:
        """Return the units under the names that `unit_names` gives, which must differ."""
        if not self.unit_names:
            return raw
        names = archive.get(self.unit_names, "unit_names").ravel().astype(str)
        archive.same_length(names, raw.sizes["unit"], "unit_names", self.unit_names)
        if len(set(names)) < len(names):
            raise CortseqError(
                "two units have one name", file=archive.file, key="unit_names", value=self.unit_names
            )
        return raw.assign_coords(unit=names)
