"""Spikes in arrays: one list with a unit each, all units in a row, one array per unit, or a padded matrix."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources import padding, ragged
from cortseq.sources.archive import Archive
from cortseq.sources.array_units import ArrayUnits
from cortseq.sources.raw import describe, finite, from_trains, with_dirt
from cortseq.sources.trials import SECONDS, WithTrials


class ArraySpikes(WithTrials, ArrayUnits):
    """Keys of an entry that say which arrays hold spikes, and how they become raw events."""

    spike_times: str | None = Field(None, description="key: time of each spike, in `time_unit`")
    spike_trials: str | None = Field(None, description="key: trial number of each spike")
    spike_units: str | None = Field(None, description="key: unit number of each spike; default: one unit")
    spike_numbers: str | None = Field(
        None, description="key: number of spikes of each unit, where `spike_times` joins all units in a row"
    )
    spike_index: str | None = Field(
        None, description="key: where each unit's spikes end in `spike_times`, which joins all units in a row"
    )
    first_trial: int = Field(0, description="the number of the first trial in `spike_trials`")

    def _load_spikes(self, archive: Archive) -> xr.Dataset:
        if cells := archive.cells(self.spike_times, self.axes, "spike_times"):
            return self._load_trains(archive, *cells)
        if trains := archive.trains(self.spike_times, "spike_times"):
            return self._load_trains(archive, trains)
        if not self.spike_units and padding.is_matrix(archive.get(self.spike_times, "spike_times")):
            return self._load_matrix(archive)
        times = archive.get(self.spike_times, "spike_times").ravel()
        if not times.size:
            raise CortseqError(
                "holds no spikes", file=archive.file, key="spike_times", value=self.spike_times
            )
        if self.spike_numbers or self.spike_index:
            return self._load_trains(archive, self._parts(archive, times))
        times = finite(times, file=archive.file, key=f"spike_times: {self.spike_times}")
        units, known = self._units(archive, times)
        labels = self._labels(archive)
        # with labels there is one per unit, silent ones too; without, only units that spike are known
        names = np.arange(len(next(iter(labels.values())))) if labels else known
        if not np.isin(units, names).all():
            raise CortseqError(
                f"units run from {units.min()} to {units.max()}, {len(names)} are labelled",
                file=archive.file,
                key="spike_units",
                value=self.spike_units,
                fix="give one label per unit, units numbered from 0",
            )
        event = {"event_time": times * SECONDS[self.time_unit], "event_unit": np.searchsorted(names, units)}
        raw = self._labelled(xr.Dataset(coords={"unit": names}), labels, "unit", archive)
        if self.spike_trials:
            trials = archive.spike_labels(self.spike_trials, "spike_trials", times) - self.first_trial
            if not self.covariates:  # how many trials there are is not known: those that occur
                trials, unused = padding.compressed(trials)
                raw = with_dirt(raw, {"trial_numbers_unused": unused})
            raw = self._with_trials(raw, archive, trials)
            event["event_trial"] = trials
        elif self.covariates and self.trials is None:
            raise CortseqError(
                "needs `spike_trials` or `trials` to have covariates", file=archive.file, key="covariates"
            )
        return describe(raw.assign({key: ("event", values) for key, values in event.items()}), "events")

    def _load_matrix(self, archive: Archive) -> xr.Dataset:
        """Return units whose spikes are the padded rows (or columns) of one matrix."""
        key = f"spike_times: {self.spike_times}"
        values = archive.get(self.spike_times, "spike_times")
        trains, n_padding = padding.trains(values, archive.file, key)
        return with_dirt(self._load_trains(archive, trains), {"spikes_padding": n_padding})

    def _units(self, archive: Archive, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the unit of each spike, (spike,), and the units there are, (unit,), in order."""
        if not self.spike_units:
            return np.zeros(len(times), int), np.zeros(1, int)
        named = archive.get(self.spike_units, "spike_units").ravel()
        if named.dtype.kind == "U":
            archive.same_length(named, len(times), "spike_units", self.spike_units)
            return named, np.unique(named)
        units = archive.spike_labels(self.spike_units, "spike_units", times)
        return units, np.unique(units)

    def _parts(self, archive: Archive, times: np.ndarray) -> dict[str, np.ndarray]:
        """Return spike times (spike,) by unit from spikes of all units in a row."""
        option = "spike_numbers" if self.spike_numbers else "spike_index"
        cut = ragged.by_number if self.spike_numbers else ragged.by_index
        sizes = archive.get(getattr(self, option), option)
        parts = cut(times, sizes, file=archive.file, key=f"{option}: {getattr(self, option)}")
        return {str(i): part for i, part in enumerate(parts)}

    def _load_trains(
        self, archive: Archive, trains: Mapping[str, np.ndarray], trials: list[np.ndarray] | None = None
    ) -> xr.Dataset:
        """Return units whose spikes are stored apart; `trials` holds the trial of each spike, by unit."""
        unused = (
            "spike_units",
            "spike_trials",
            *(["covariates"] if trials is None and not self.trials else []),
        )
        for key in unused:
            if getattr(self, key):
                raise CortseqError(
                    "is of no use where every unit has its own list of spikes",
                    file=archive.file,
                    key=key,
                    fix="remove it",
                )
        raw = from_trains(
            trains,
            scale=SECONDS[self.time_unit],
            file=archive.file,
            key=f"spike_times: {self.spike_times}",
            trials=trials,
        )
        raw = self._named(archive, raw)
        if trials is not None:
            raw = self._with_trials(raw, archive, raw["event_trial"].values, archive.n_trials)
        return self._labelled(raw, self._labels(archive), "unit", archive)

    def _with_trials(
        self, raw: xr.Dataset, archive: Archive, trials: np.ndarray, n_trials: int | None = None
    ) -> xr.Dataset:
        """Add the coordinate `trial` and the covariates, whose length is the number of trials."""
        values = {k: archive.squeezed(key, f"covariates.{k}") for k, key in self.covariates.items()}
        lengths = {len(v) for v in values.values()} or {n_trials or int(trials.max()) + 1}
        lengths |= {n_trials} if n_trials else set()
        if len(lengths) > 1 or trials.max() >= min(lengths) or trials.min() < 0:
            raise CortseqError(
                f"trials run from {trials.min() + self.first_trial} to {trials.max() + self.first_trial}, "
                f"there are {sorted(lengths)} counted from {self.first_trial}",
                file=archive.file,
                key="spike_trials",
                value=self.spike_trials,
                fix="set first_trial to the number of the first trial, give one covariate value per trial",
            )
        variables = {f"covariate_{label}": ("trial", v) for label, v in values.items()}
        return raw.assign_coords(trial=np.arange(min(lengths))).assign(variables)
