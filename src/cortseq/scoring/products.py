"""What scoring writes: log-probabilities per member, trial and bin, and predictions."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortseq import recording as rec
from cortseq.models.base import Data, Fit

SCORED = ("train", "valid", "test")


def scores(fit: Fit, recording: xr.Dataset, roles: dict) -> xr.Dataset:
    """log_prob (member, trial, time) in nats and n_events (trial, time), with the role of each trial.

    Every valid bin is scored; burn-in is cut later, the same for all models.
    """
    trials = np.concatenate([roles[role] for role in SCORED]).astype(int)
    role = np.repeat(SCORED, [len(roles[r]) for r in SCORED])
    log_prob = fit.log_prob(recording, trials)
    return xr.Dataset(
        {
            "log_prob": (("member", "trial", "time"), log_prob),
            "n_events": (("trial", "time"), Data.of(recording, trials).n_events()),
        },
        coords={"trial": trials, "role": ("trial", role.astype("<U5")), "time": recording["time"].values},
        attrs={"bin_width": recording.attrs["bin_width"], "parameters": fit.card["parameters"]},
    )


def predictions(fit: Fit, recording: xr.Dataset, trials) -> xr.Dataset:
    """Expected counts per bin / label probabilities / means on test trials, averaged over members."""
    kind = rec.track(recording)
    feature = rec.TRACKS[kind] or "symbol"
    names = recording[feature].values if feature in recording.coords else np.arange(fit.card["n_features"])
    mean = fit.predict(recording, trials).mean(0).astype(np.float32)
    return xr.Dataset(
        {"predicted": (("trial", "time", feature), mean)},
        coords={"trial": np.asarray(trials), "time": recording["time"].values, feature: names},
        attrs={"bin_width": recording.attrs["bin_width"], "unit": "expected per bin"},
    )
