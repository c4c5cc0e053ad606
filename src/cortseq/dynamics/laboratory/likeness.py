"""How alike free runs of members are to the recording and to each other, as operators on delays."""

from __future__ import annotations

import contextlib
from itertools import combinations
from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.dynamics.laboratory.subject import Subject
from cortseq.dynamics.operators import delay_operator, operator_angles
from cortseq.errors import CortseqError


def operators(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compare what members generate with the recording and with each other (`cortseq.dynamics.operators`).

    Every operator is of half of the test trials, or of as many generated ones of the same lengths. The angle
    between the two halves of the recording is the ruler, so that a model whose trials cannot be told from
    recorded ones has an angle of about 1 ruler, and seeds that differ as recordings do are 1 ruler apart.
    """
    chosen = subject.recording.isel(trial=subject.test)
    if len(subject.test) < 4 or (subject.fit.card["n_inputs"] and not subject.fit.model.replays):
        return {}, {}
    valid = chosen["valid"].values
    recorded = _halves(_vectors(rec.observations(chosen), subject), valid)
    ruler = _angles([recorded], [recorded[::-1]])[0]
    if not ruler > 0:
        return {}, {}
    inputs = chosen["inputs"].values if subject.fit.card["n_inputs"] else None
    made: dict[int, list[np.ndarray]] = {}
    for member in range(subject.members):
        drawn = subject.fit.simulate(*valid.shape, member, subject.seed, inputs)
        with contextlib.suppress(CortseqError):  # it runs away, or is silent
            made[member] = _halves(_vectors(rec.observations(drawn), subject), valid)
    to_recording = np.full(subject.members, np.nan)
    to_recording[list(made)] = _angles(list(made.values()), [recorded] * len(made)) / ruler
    variables: dict[str, Any] = {"operator_to_recording": ("member", to_recording)}
    if subject.members > 1:
        apart, pairs = np.full((subject.members, subject.members), np.nan), list(combinations(made, 2))
        between = _angles([made[a] for a, _ in pairs], [made[b] for _, b in pairs])
        for (a, b), angle in zip(pairs, between, strict=True):
            apart[a, b] = apart[b, a] = angle / ruler
        variables["operator_to_members"] = (("member", "other"), apart)
    return variables, {"operator_ruler": float(ruler)}


def signs(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Say whether excitatory units of one member are those of another, under Dale's law.

    Units of two members are paired so that their outputs on the test trials are as correlated as can be;
    kappa is the share of pairs of equal sign beyond chance, (share - chance) / (1 - chance): 1 where the
    activity of a unit tells its sign, 0 where it does not.
    """
    model = subject.fit.model
    if not model.signed or subject.members < 2:
        return {}, {}
    known = np.isfinite(subject.states[0]).all(-1)
    outputs = [_standard(states[known][:, : model.hidden]) for states in subject.states]
    members = [subject.fit.member(member).signs() for member in range(subject.members)]
    kappa = np.full((subject.members, subject.members), np.nan)
    for a, b in combinations(range(subject.members), 2):
        kappa[a, b] = kappa[b, a] = _kappa(outputs[a].T @ outputs[b], members[a], members[b])
    return {"sign_agreement": (("member", "other"), kappa)}, {}


def _standard(outputs: np.ndarray) -> np.ndarray:
    """Return the outputs (bin, unit) with mean 0 and length 1; 0 of units that never change."""
    away = outputs - outputs.mean(0)
    return np.asarray(away / np.maximum(np.linalg.norm(away, axis=0), 1e-9))


def _kappa(correlations: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Return agreement beyond chance of the signs (unit,) of units paired by `correlations` (unit, unit)."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-correlations)
    share = float((first[rows] == second[columns]).mean())
    chance = float(sum((first == sign).mean() * (second == sign).mean() for sign in (-1, 1)))
    return (share - chance) / (1 - chance) if chance < 1 else np.nan


def _vectors(y: np.ndarray, subject: Subject) -> np.ndarray:
    """Return observations (trial, time, feature); labels as one-hot."""
    return np.asarray(rec.kind(subject.recording).encoded(y, subject.fit.card["n_features"]), dtype=float)


def _halves(y: np.ndarray, valid: np.ndarray) -> list[np.ndarray]:
    """Return the operators of even and of odd trials."""
    return [delay_operator(y[part], valid[part]) for part in (slice(0, None, 2), slice(1, None, 2))]


def _angles(a: list[list[np.ndarray]], b: list[list[np.ndarray]]) -> np.ndarray:
    """Return the mean angle of the halves of each a and b, (pair,)."""
    if not a:
        return np.empty(0)
    first, second = ([half for halves in every for half in halves] for every in (a, b))
    return operator_angles(first, second).reshape(-1, 2).mean(1)
