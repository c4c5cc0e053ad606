"""Linear read-outs of states whose penalty is chosen on whole trials that were left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cortseq.errors import CortseqError

_FOLDS = 5
_LEAST = 1e-4  # of the root mean square over features


def ridge(
    x: np.ndarray, y: np.ndarray, penalties: Sequence[float], groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (k, d) and intercepts (k,) that minimise sum |y - W x - b|^2 + penalty n |W|^2, n rows.

    Features are standardised for the penalty, intercepts are free. Every target has its own penalty: the one
    that predicts groups left out best, in 5 folds of whole groups. Neighbouring bins of a trial are nearly
    copies of each other: leaving out single ones would choose almost no penalty at all.

    Parameters
    ----------
    x : (n, d)
    y : (n, k).
    groups : (n,) the trial of each row; rows of one group only are cut into 5 blocks.

    Raises
    ------
    CortseqError : fewer than two rows.
    """
    if len(x) < 2:
        raise CortseqError("a read-out needs two bins at least", key="x", value=len(x))
    centre, scale = x.mean(0), _scale(x)
    d, tried = x.shape[1], np.asarray(penalties, dtype=np.float64)
    moments = np.stack([_moments((x[fold] - centre) / scale, y[fold]) for fold in _folds(groups)])
    whole = moments.sum(0)
    errors = np.stack([_errors(left_out, _path(whole - left_out, d, tried)) for left_out in moments])
    chosen, every = errors.sum(0).argmin(0), np.arange(y.shape[1])
    coefficients = _path(whole, d, tried)[chosen, :, every]
    weight = coefficients[:, 1:] / scale
    return weight, coefficients[:, 0] - weight @ centre


def _moments(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return sums of products of (1, d features, k targets) with each other, (1 + d + k, 1 + d + k)."""
    joint = np.column_stack([np.ones(len(z)), z, y])
    return np.asarray(joint.T @ joint)


def _scale(x: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each feature, infinite where it hardly varies.

    Standard deviations, infinite for what hardly varies: a unit that stirs in no training trial says nothing
    about them, and would be thousands of its deviations off when it does in a test trial.
    """
    spread = x.std(0)
    stirs = (spread > 1e-12 * (1 + np.abs(x.mean(0)))) & (spread > _LEAST * np.sqrt((spread**2).mean()))
    return np.where(stirs, spread, np.inf)


def _folds(groups: np.ndarray) -> list[np.ndarray]:
    """Return masks of the rows to leave out, each of every fifth group."""
    names, of_row = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        of_row = np.arange(len(groups)) * _FOLDS // len(groups)
    fold = of_row % _FOLDS
    return [fold == f for f in np.unique(fold)]


def _path(moments: np.ndarray, d: int, penalties: np.ndarray) -> np.ndarray:
    """Return intercept and weights (penalty, 1 + d, k) of all penalties from one eigendecomposition.

    moments : sums of products of (1, d features, k targets) with each other.
    """
    n, mean = moments[0, 0], moments[0, 1:] / moments[0, 0]
    covariance = moments[1 : 1 + d, 1:] / n - np.outer(mean[:d], mean)
    values, vectors = np.linalg.eigh(covariance[:, :d])
    damped = np.maximum(values, 0) + penalties[:, None]
    weights = vectors @ ((vectors.T @ covariance[:, d:]) / damped[..., None])
    return np.concatenate([(mean[d:] - mean[:d] @ weights)[:, None], weights], 1)


def _errors(moments: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Return sums of squared errors (penalty, k) on the rows of the moments."""
    m = coefficients.shape[1]
    of_guess = (coefficients * (moments[:m, :m] @ coefficients - 2 * moments[:m, m:])).sum(1)
    return np.asarray(np.diag(moments)[m:] + of_guess)
