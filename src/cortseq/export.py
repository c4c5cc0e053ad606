"""Predictions and states in the files of others: NWB, and submissions to the Neural Latents Benchmark."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import ArrayLike

from cortseq import recording as rec
from cortseq import store
from cortseq._lazy import xr
from cortseq.data import Data, Trials, check_card
from cortseq.errors import CortseqError, MissingExtra
from cortseq.recording.clock import Clock, clocked
from cortseq.scoring import readout

if TYPE_CHECKING:
    from cortseq.models.fit import Fit

# Arrays of a submission: (trial, time, unit) each, rates in expected counts per bin.
RATES = tuple(f"{role}_rates_{units}" for role in ("train", "eval") for units in ("heldin", "heldout"))
FORWARD = tuple(f"eval_rates_{units}_forward" for units in ("heldin", "heldout"))
_STATES = (
    "state from which the bin is predicted: it has seen all bins before it in the trial, and not this one"
)
_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)


# -- NWB ---------------------------------------------------------------------------------------------


def nwb(
    fit: Fit,
    recording: xr.Dataset,
    path: str | Path,
    trials: Trials = None,
    session_start: datetime | None = None,
) -> None:
    """Write what a fit predicts, and the states of a network, as an NWB file.

    The processing module `cortseq` holds for each member the series `predicted_member0` (a rate in Hz per
    unit, a mean per channel, or a probability per label) and `states_member0`, with a sample at the middle of
    each observed bin. The table `units`, `channels` or `symbols` names the columns of predictions. Trials are
    intervals with their position and covariates. Times are those of the recording (`start`); where it has
    none, trials follow each other from 0 s, one bin apart, and the description of the session says so.

    Parameters
    ----------
    fit : any fit.
    recording : a Recording.
    path : of the file, ending in `.nwb`; what is there is replaced.
    trials : positions along `trial`; None: all.
    session_start : date and time zone of the recording's 0 s; None: 1970-01-01 UTC, for not known.

    Raises
    ------
    CortseqError : trials that overlap in time.
    MissingExtra : pynwb is not installed.
    """
    try:
        import h5py
        import pynwb
    except ImportError as error:
        raise MissingExtra("pynwb", "nwb") from error
    said = fit.to_xarray(recording, trials)
    clock = clocked(said["predicted"].isel(member=0))
    file = _session(fit, said, session_start)
    _add_trials(file, said, clock)
    module = file.create_processing_module("cortseq", f"Predictions of {said.attrs['model']}")
    feature = str(said["predicted"].dims[-1])
    module.add(_names(feature, said[feature].values))
    scale, unit = _unit(recording, clock.width)
    columns = f"column i: row i of {feature}s"
    for member in said["member"].values:
        found = said.sel(member=member)
        expected = clocked(found["predicted"]).values * scale
        module.add(_series(f"predicted_member{member}", expected, unit, clock, columns))
        if "states" in found:
            states = clocked(found["states"]).values
            module.add(_series(f"states_member{member}", states, "a.u.", clock, _STATES))
    with store.atomic(path) as temporary, h5py.File(temporary, "w") as handle:
        with pynwb.NWBHDF5IO(file=handle, mode="w") as writer:
            writer.write(file)


def _session(fit: Fit, said: xr.Dataset, start: datetime | None) -> Any:
    """Return an empty NWB file that says what it is."""
    import pynwb

    made_up = "" if "start" in said.coords else "; trials follow each other, as their times are not known"
    return pynwb.NWBFile(
        session_description=f"Predictions by cortseq: {said.attrs['model']}{made_up}",
        identifier=str(uuid4()),
        session_start_time=start or _UNKNOWN,
        notes=json.dumps({"fit_sha256": fit.digest(), "card": fit.card}, default=str),
    )


def _add_trials(file: Any, said: xr.Dataset, clock: Clock) -> None:
    """Add the intervals of the trials, with every covariate of a trial."""
    from pynwb.epoch import TimeIntervals

    own = [str(k) for k, v in said.coords.items() if v.dims == ("trial",) and k not in ("start", "stop")]
    # a table of intervals has columns and attributes of its own, such as `tags` and `id`
    taken = {column["name"] for column in TimeIntervals.__columns__} | {*dir(TimeIntervals)}
    columns = {name: (f"covariate_{name}" if name in taken else name) for name in own}
    columns = {name: re.sub("[/:]", "_", column) for name, column in columns.items()}
    for name, column in columns.items():
        file.add_trial_column(column, "position in the recording" if name == "trial" else "covariate")
    for row, begin, end in zip(clock.order, clock.begins, clock.ends, strict=True):
        about = {column: said[name].values[row].item() for name, column in columns.items()}
        file.add_trial(start_time=float(begin), stop_time=float(end), **about)


def _names(feature: str, names: np.ndarray) -> Any:
    """Return the table that names the columns of a series."""
    from hdmf.common import DynamicTable, VectorData

    column = VectorData(name="label", description=f"name of the {feature}", data=names.astype(str).tolist())
    return DynamicTable(name=f"{feature}s", description="columns of the predictions", columns=[column])


def _unit(recording: xr.Dataset, width: float) -> tuple[float, str]:
    """Return what predictions are multiplied by, and the unit that they have then."""
    choices = {"counts": (1 / width, "Hz"), "symbols": (1.0, "probability"), "signal": (1.0, "as recorded")}
    return rec.kind(recording).choose(**choices)  # type: ignore[no-any-return]


def _series(name: str, values: np.ndarray, unit: str, clock: Clock, about: str) -> Any:
    """Return values (trial, time, column) of observed bins as a series of samples."""
    import pynwb
    from pynwb import H5DataIO

    data = H5DataIO(values[clock.known], compression="gzip")
    return pynwb.TimeSeries(
        name=name, data=data, unit=unit, timestamps=clock.middles[clock.known], description=about
    )


# -- Neural Latents Benchmark ------------------------------------------------------------------------


def nlb(rates: Mapping[str, ArrayLike], path: str | Path, dataset: str) -> None:
    """Write rates in the layout of submissions to the Neural Latents Benchmark.

    Parameters
    ----------
    rates : (trial, time, unit) expected counts per bin by name. Required are `train_rates_heldin`,
        `train_rates_heldout`, `eval_rates_heldin` and `eval_rates_heldout`; forward prediction adds
        `eval_rates_heldin_forward` and `eval_rates_heldout_forward`, of later bins. `cosmoothed` makes the
        first four. NaN may stand in bins that are not evaluated.
    path : of the HDF5 file. A dataset is added to a file that is there, or replaces its namesake.
    dataset : name of the benchmark's dataset, such as `mc_maze`; bins of 20 ms end in `_20`: `mc_maze_20`.

    Raises
    ------
    CortseqError : arrays that are missing, do not fit each other, or hold negative rates; a file at
    `path` that is no HDF5.
    MissingExtra : h5py is not installed.

    References
    ----------
    Pei et al. 2021, NeurIPS Datasets and Benchmarks, arXiv:2109.04463.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "hdf5") from error
    arrays = _checked(rates)
    before = Path(path)
    if before.exists() and not h5py.is_hdf5(before):
        raise CortseqError("is no HDF5 file", file=before, fix="give another path")
    with store.atomic(path) as temporary:
        if before.exists():
            temporary.write_bytes(before.read_bytes())
        with h5py.File(temporary, "a") as file:
            if dataset in file:
                del file[dataset]
            group = file.create_group(dataset)
            for name, values in arrays.items():
                group.create_dataset(name, data=values, compression="gzip")


def _checked(rates: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """Return the arrays in the order of the benchmark, or raise an error that names the one that is wrong."""
    names = (*RATES, *(FORWARD if set(FORWARD) & set(rates) else ()))
    if set(rates) != set(names):
        odd = sorted(set(rates) ^ set(names))
        raise CortseqError(
            "a submission has other arrays", key="rates", value=odd, fix=f"give {', '.join(names)}"
        )
    arrays = {name: np.asarray(rates[name], float) for name in names}
    for name, values in arrays.items():
        if values.ndim != 3:
            raise CortseqError("rates are (trial, time, unit)", key=name, value=values.shape)
        if (values < 0).any() or np.isinf(values).any():
            raise CortseqError(
                "expected counts are finite and >= 0", key=name, value=float(np.nanmin(values))
            )
        partner = arrays[name.replace("heldout", "heldin")]
        role, _, units = name.partition("_rates_")
        alike = arrays[f"train_rates_{units.removesuffix('_forward')}"]
        if values.shape[:2] != partner.shape[:2] or values.shape[2] != alike.shape[2]:
            raise CortseqError(
                "trials, bins or units are not those of its partners", key=name, value=values.shape
            )
        if role == "eval" and len(values) != len(arrays["eval_rates_heldin"]):
            raise CortseqError("trials are not those that are evaluated", key=name, value=values.shape)
    return arrays


def cosmoothed(
    fit: Fit, recording: xr.Dataset, train: Sequence[int], evaluated: Sequence[int], held_out: Sequence[int]
) -> dict[str, np.ndarray]:
    """Return rates of all units at all times from the units held in, as `nlb` writes them, mean over members.

    A hidden Markov model knows all units and reads those held in. A network predicts from all the units it
    reads, and is therefore fitted to the units held in alone; those held out are read from its states by a
    regression that is learned on its training trials (`cortseq.scoring.readout`). Held-in rates of a network
    are its predictions of the next bin.

    Parameters
    ----------
    fit : of a hidden Markov model to all units of training trials, or of a network to those held in,
        `recording.isel(unit=held_in)`.
    recording : counts of all units.
    train, evaluated : positions along `trial`; the fit may know the first, and must not know the second.
    held_out : positions along `unit`; all others are held in.

    Returns
    -------
    the four arrays of RATES, (trial, time, unit) expected counts per bin, NaN where a bin is missing.

    Raises
    ------
    CortseqError : another family or recording, trials of `evaluated` that the fit learned from, no trial, no
        unit held in or out, a network that was fitted to other units than those held in.
    """
    smooth: Any = getattr(fit.model, "cosmooth", None)
    network = fit.model.role == "recurrent"
    if smooth is None and not network:
        raise CortseqError(
            "only a hidden Markov model or a network can predict units from others",
            key="family",
            value=fit.model.family,
            fix="fit cortseq.models.HMM(), or hand rates of another smoother to nlb",
        )
    chosen = {
        "train": rec.positions(recording, train, "train"),
        "eval": rec.positions(recording, evaluated, "evaluated"),
    }
    for trials in chosen.values():
        if not len(trials):
            raise CortseqError("trials of both roles are needed", key="train, evaluated")
    learned = np.concatenate(list(fit.card["learned_from"].values()))
    if (seen := np.intersect1d(chosen["eval"], learned)).size:
        raise CortseqError("the fit learned from an evaluated trial", key="evaluated", value=int(seen[0]))
    n_units = recording.sizes["unit"] if network else fit.card["n_features"]
    out = np.unique(np.asarray(held_out, int))
    kept = np.setdiff1d(np.arange(n_units), out)
    if not len(kept) or not len(out) or out[-1] >= n_units or out[0] < 0:
        raise CortseqError(
            f"some of the {n_units} units are held out, not all", key="held_out", value=held_out
        )
    if network:
        return _read_out(fit, recording, chosen, out)
    found = {}
    for role, trials in chosen.items():
        data = Data.of(recording, trials)
        check_card(data, fit.card)
        data = data.within(fit.card["support"])
        for name, units in (("heldin", kept), ("heldout", out)):
            found[f"{role}_rates_{name}"] = np.asarray(smooth(fit.params, data, kept, units).mean(0))
    return found


def _read_out(
    fit: Fit, recording: xr.Dataset, trials: Mapping[str, np.ndarray], out: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the arrays of RATES of a network that was fitted to the units held in."""
    hidden = readout.held_out_rates(fit, recording, out, list(trials.values()))
    seen = recording.isel(unit=np.setdiff1d(np.arange(recording.sizes["unit"]), out))
    found = {}
    for (role, ids), rates in zip(trials.items(), hidden, strict=True):
        found[f"{role}_rates_heldin"] = fit.predict(seen, ids).values.mean(0)
        found[f"{role}_rates_heldout"] = rates
    return found
