"""What learning one task after another does to the earlier ones, from a table of scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError


@dataclass(frozen=True)
class Transfer:
    """Scores of learning several tasks one after another.

    Attributes
    ----------
    acc : mean score of all tasks at the end.
    bwt : mean over earlier tasks of their score at the end less that when they were learned, < 0 where they
        were forgotten.
    forgetting : (task after, task) best score so far less the present one, NaN before a task is learned.
    """

    acc: float
    bwt: float
    forgetting: np.ndarray


def transfer(scores: ArrayLike) -> Transfer:
    """Of R (task after, task), the score on task j after learning task i, higher is better.

    ACC = mean_j R_Tj, BWT = mean_{j<T} (R_Tj - R_jj). Lopez-Paz & Ranzato 2017, arXiv:1706.08840; forgetting
    as in Chaudhry et al. 2018, arXiv:1801.10112.

    Raises
    ------
    CortseqError : a table that is not square, or of one task.
    """
    r = np.asarray(scores, float)
    if r.ndim != 2 or r.shape[0] != r.shape[1] or len(r) < 2:
        raise CortseqError("scores are (task after, task) of at least two tasks", value=r.shape)
    learned = np.tril(np.ones(r.shape, bool))
    best = np.maximum.accumulate(np.where(learned, r, -np.inf))
    forgetting = np.where(learned, best - r, np.nan)
    return Transfer(float(r[-1].mean()), float((r[-1] - r.diagonal())[:-1].mean()), forgetting)
