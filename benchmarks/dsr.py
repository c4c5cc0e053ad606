"""Likelihood beside geometry: what the networks of a study of `dsr` do when they are left alone.

`python -m benchmarks.dsr --results results/dsr --files FOLDER` reads the fits that snakemake made of
config/studies/claims/dsr.yaml and the .npy files of Hess et al. 2023 (arXiv:2306.04406). Each member runs without
noise, its expectation fed back, from states of test trials. Its runs are held against a trajectory that it has not
seen: divergence of states (D_stsp), Hellinger distance of spectra (D_H), and for Lorenz's system the largest
exponent; beside them the error 20 bins ahead (PE) and the likelihood of the test trials. Writes
`<results>/geometry.csv`, one row a member, and `<results>/agreement.csv`, the rank correlations.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from scipy.stats import spearmanr

from cortseq import models, splits, store
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.dynamics import batched, lyapunov_spectrum
from cortseq.errors import CortseqError
from cortseq.models.base import Fit
from cortseq.scoring import geometry

UNSEEN = {"lorenz": "lorenz63_test.npy", "ecg": "ECG_pecuzal_5d_test.npy"}  # of EEG there is no second file
STEP = 0.01  # of Lorenz's system, its own unit of time
SEGMENT, SMOOTHING = 10_000, 20.0  # bins of a run; frequencies by which its spectrum is smoothed
BEFORE = 1000  # bins of a run that are left out, while it finds its attractor
AHEAD = 20  # bins of the prediction error
EXPONENT_STEPS = 10_000
FAR = 1e3  # in units of the recording: runs that go further are held there, so that measures are numbers
MEASURES = ("divergence", "hellinger", "error")
RESAMPLED = 2000


def reference(dataset: str, recording: xr.Dataset, test: Any, folder: Path) -> np.ndarray:
    """Return what runs are held against, (segment, time, channel): the unseen file, or the test trials."""
    if dataset not in UNSEEN:
        return np.asarray(rec.observations(recording.isel(trial=test)))
    whole = np.load(next(folder.rglob(UNSEEN[dataset])))
    return np.asarray(whole[: len(whole) // SEGMENT * SEGMENT].reshape(-1, SEGMENT, whole.shape[1]))


def free_runs(fit: Fit, member: int, starts: np.ndarray, bins: int, before: int = BEFORE) -> np.ndarray:
    """Return expectations (run, bins, channel) of runs that feed them back, without the first `before` bins.

    `starts` : (run, dim) flat states.
    """
    step = batched(fit.flow(member, "closed"))
    state, seen = torch.as_tensor(starts).double(), []
    with torch.no_grad():
        for _ in range(before):
            state = step(state)
        for _ in range(bins):
            seen.append(state)
            state = step(state)
    expected = fit.expected(torch.stack(seen, 1).numpy(), member)
    return np.clip(np.nan_to_num(expected, nan=FAR, posinf=FAR, neginf=-FAR), -FAR, FAR)


def power(runs: np.ndarray) -> np.ndarray:
    """Return the mean power of runs (run, time, channel) at each frequency above 0, (frequency, channel)."""
    return np.asarray((np.abs(np.fft.rfft(runs - runs.mean(1, keepdims=True), axis=1)[:, 1:]) ** 2).mean(0))


def distances(made: np.ndarray, recorded: np.ndarray) -> dict[str, float]:
    """Return divergence, Hellinger distance and spread of runs (run, time, channel); spread 1: as recorded."""
    smoothing = SMOOTHING if recorded.shape[1] >= SEGMENT else 0.0
    states, seen = (runs.reshape(-1, runs.shape[-1]) for runs in (made, recorded))
    return {
        "divergence": geometry.state_space_divergence(states, seen),
        "hellinger": geometry.hellinger(power(made), power(recorded), smoothing),
        "spread": float((made.std(1) / seen.std(0)).mean()),
    }


def exponent(fit: Fit, member: int, start: np.ndarray) -> tuple[float, float]:
    """Return the largest exponent of the closed loop and its standard error, per unit of time; NaN if it flees."""
    try:
        found = lyapunov_spectrum(fit.flow(member, "closed"), start, 1, EXPONENT_STEPS, BEFORE)
    except CortseqError:
        return np.nan, np.nan
    return float(found.exponents[0]) / STEP, float(found.standard_errors[0]) / STEP


def measured(fit: Fit, dataset: str, recording: xr.Dataset, test: Any, recorded: np.ndarray) -> pd.DataFrame:
    """Return one row per member of a network: likelihood, prediction error and the distances of its runs."""
    nats = fit.log_prob(recording, test).values
    nats = nats.reshape(fit.card["members"], -1, nats.shape[-1]).mean((1, 2)) / fit.card["n_features"]
    error = fit.model.squared_error(fit.params, Data.of(recording, test), [AHEAD])
    ends = fit.states(recording, test).values[:, :, -1]
    runs = np.linspace(0, len(test) - 1, len(recorded)).astype(int)
    rows = []
    for member in range(fit.card["members"]):
        made = free_runs(fit, member, ends[member, runs], recorded.shape[1])
        row = {"member": member, "nats": nats[member], "error": np.nanmean(error[member])}
        row |= distances(made, recorded)
        if dataset == "lorenz":
            row["exponent"], row["exponent_error"] = exponent(fit, member, ends[member, runs[0]])
        rows.append(row)
    return pd.DataFrame(rows)


def agreement(table: pd.DataFrame, measure: str, rng: np.random.Generator) -> dict[str, float]:
    """Return Spearman's correlation of `nats` with minus a measure over the means of models, and its interval.

    1: the model with the higher likelihood always has the smaller distance. Interval: 2.5 and 97.5 % of
    bootstrap samples, which draw models, and members within each of them.
    """
    models = [part[["nats", measure]].to_numpy() for _, part in table.groupby("model", sort=False)]

    def correlation(chosen: list[np.ndarray]) -> float:
        nats, distance = np.array([part.mean(0) for part in chosen]).T
        constant = np.ptp(nats) == 0 or np.ptp(distance) == 0
        return np.nan if constant else float(spearmanr(nats, -distance).statistic)

    drawn = []
    for _ in range(RESAMPLED):
        some = [models[i] for i in rng.integers(len(models), size=len(models))]
        drawn.append(correlation([part[rng.integers(len(part), size=len(part))] for part in some]))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return {"correlation": correlation(models), "low": low, "high": high, "models": len(models)}


def study(results: Path, folder: Path) -> pd.DataFrame:
    """Return the rows of all networks that have a fit below `results`, and of each recording its ruler."""
    tables = []
    for path in sorted(results.glob("fits/*/*/fold0.safetensors")):
        dataset, name = path.parts[-3], path.parts[-2]
        fit = models.load(path)
        if fit.model.role != "recurrent":
            continue
        trials, split = (
            results / f"{kind}/{dataset}{end}" for kind, end in (("trials", ".zarr.zip"), ("splits", ".json"))
        )
        recording, roles = splits.fold_of(store.read(trials), store.read_json(split), 0)
        recorded = reference(dataset, recording, roles["test"], folder)
        found = measured(fit, dataset, recording, roles["test"], recorded)
        tables.append(found.assign(dataset=dataset, model=name))
        print(tables[-1].drop(columns=["member"]).to_string(index=False), flush=True)
    return pd.concat(tables, ignore_index=True)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dsr", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/dsr"), help="of the study")
    parser.add_argument("--files", type=Path, required=True, help="folder of the .npy files")
    given = parser.parse_args(arguments)
    table = study(given.results, given.files)
    store.write_table(table, given.results / "geometry.csv")
    rng = np.random.default_rng(0)
    rows = [
        {"dataset": dataset, "measure": measure, **agreement(part, measure, rng)}
        for dataset, part in table.groupby("dataset", sort=False)
        for measure in MEASURES
    ]
    store.write_table(pd.DataFrame(rows), given.results / "agreement.csv")
    print(pd.DataFrame(rows).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
