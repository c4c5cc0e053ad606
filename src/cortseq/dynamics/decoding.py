"""What a state still knows of the past: decoding against lag, and memory that is silent in the rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq._lazy import xr
from cortseq.dynamics.ridge import ridge
from cortseq.dynamics.similarity import explained
from cortseq.errors import CortseqError
from cortseq.notebook import Drawn

PENALTIES = tuple(10.0 ** np.arange(-10, 5))  # the last leave hardly more than the mean


def decode_past(
    states: ArrayLike,
    targets: ArrayLike,
    lags: Sequence[int],
    train: Any,
    test: Any,
    penalties: Sequence[float] = PENALTIES,
) -> np.ndarray:
    """Return R^2 of y_{t-k} read linearly from the state s_t, on held-out trials, (lag, target).

    Ridge fitted on the trials `train`, its penalty chosen on whole trials left out there. Negative lags ask
    for the future. Of a linear reservoir under white input the lags sum to the memory capacity.

    Parameters
    ----------
    states : (trial, time, d).
    targets : (trial, time, k) or (trial, time). NaN: a missing bin.
    lags : in bins.
    train, test : positions of trials, disjoint.

    Raises
    ------
    CortseqError : a trial in both roles, or a lag that no bin reaches.
    """
    s, y = np.asarray(states, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    y = y[..., None] if y.ndim == 2 else y
    train, test = _roles(train, test)
    n_time = s.shape[1]
    out = []
    for lag in lags:
        if abs(lag) >= n_time:
            raise CortseqError(f"trials have {n_time} bins", key="lags", value=int(lag))
        now = slice(max(lag, 0), n_time + min(lag, 0))
        then = slice(max(-lag, 0), n_time - max(lag, 0))
        x, past = s[:, now], y[:, then]
        known = np.asarray(np.isfinite(x).all(-1) & np.isfinite(past).all(-1))
        (of_train, bins), (of_test, later) = np.nonzero(known[train]), np.nonzero(known[test])
        learned, judged = (train[of_train], bins), (test[of_test], later)
        weight, bias = ridge(x[learned], past[learned], penalties, of_train)
        out.append(explained(past[judged], x[judged] @ weight.T + bias)[1])
    return np.array(out)


def decode_cue(
    features: ArrayLike, cue: ArrayLike, train: Any, test: Any, penalty: float = 1.0
) -> np.ndarray:
    """Return area under the ROC curve of a label of the trial, read from the features of each bin, (time,).

    Logistic regression per bin on the trials `train` (L2, features standardised), judged on `test`; 0.5 is
    chance. Of more than two labels the mean over pairs (Hand & Till 2001, Mach Learn 45:171).

    Parameters
    ----------
    features : (trial, time, d); NaN: a missing bin.
    cue : (trial,) labels; NaN: unknown.
    penalty : inverse of sklearn's C.

    Returns
    -------
    NaN where a bin holds no trial of some label, in training or test.
    """
    x, cue = np.asarray(features, dtype=np.float64), np.asarray(cue)
    train, test = _roles(train, test)
    return np.array([_auc(x[:, t], cue, train, test, penalty) for t in range(x.shape[1])])


def _auc(x: np.ndarray, cue: np.ndarray, train: Any, test: Any, penalty: float) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    known = np.isfinite(x).all(1)
    if cue.dtype.kind == "f":
        known &= np.isfinite(cue)
    train, test = train[known[train]], test[known[test]]
    labels = np.unique(cue[known])
    if len(labels) < 2 or any(len(np.unique(cue[role])) < len(labels) for role in (train, test)):
        return float("nan")
    centre, scale = x[train].mean(0), x[train].std(0)
    # what does not vary in training says nothing, whatever it does in the test
    z = (x - centre) / np.where(scale > 1e-9 * (1 + np.abs(centre)), scale, np.inf)
    model = LogisticRegression(C=1 / penalty, max_iter=1000).fit(z[train], cue[train])
    if len(labels) == 2:
        return float(roc_auc_score(cue[test] == labels[1], model.decision_function(z[test])))
    return float(roc_auc_score(cue[test], model.predict_proba(z[test]), multi_class="ovo", labels=labels))


@dataclass(frozen=True, repr=False)
class SilentMemory(Drawn):
    """How well a cue is read from rates and from synapses: area under the ROC curve.

    Attributes
    ----------
    rates : (member, time) read from the rates.
    efficacy : (member, time) read from the efficacies u x.
    """

    rates: np.ndarray
    efficacy: np.ndarray


def silent_memory(
    fit: Any, recording: xr.Dataset, cue: ArrayLike, train: Any, test: Any, penalty: float = 1.0
) -> SilentMemory:
    """Return a cue decoded through the delay from a plastic network's activity, and from its synapses.

    It is silent where the rates are at chance and u x is not: then the cue lives in the synapses alone.
    Mongillo, Barak & Tsodyks 2008, Science 319:1543; Masse et al. 2019, Nat Neurosci 22:1159.

    Parameters
    ----------
    fit : of an stp model.
    cue : (trial,) labels of all trials of the recording.
    train, test : positions.
    """
    if fit.model.role != "recurrent" or not fit.model.plastic:
        raise CortseqError(
            f"a {fit.model.family} model has no plastic synapse", fix="give the fit of one with, such as stp"
        )
    states = fit.states(recording).values
    n = fit.model.hidden  # a skip adds the last bin to (h, u, x)
    parts = [np.split(member[..., : 3 * n], 3, -1) for member in states]
    return SilentMemory(
        np.stack([decode_cue(h, cue, train, test, penalty) for h, _, _ in parts]),
        np.stack([decode_cue(u * x, cue, train, test, penalty) for _, u, x in parts]),
    )


def _roles(train: Any, test: Any) -> tuple[np.ndarray, np.ndarray]:
    train, test = np.asarray(train, int), np.asarray(test, int)
    twice = np.intersect1d(train, test)
    if twice.size:
        raise CortseqError("a trial is in both train and test", value=int(twice[0]))
    return train, test
