"""What a network still knows of earlier sessions when it has learned later ones.

R[i, j] is the score on test trials of session j after learning session i, over the null of session j. With n
sessions

    ACC = mean_j R[n, j],    BWT = mean_{j < n} (R[n, j] - R[j, j])

(Lopez-Paz & Ranzato 2017, arXiv:1706.08840): BWT < 0 is forgetting, BWT > 0 what later sessions taught of
earlier ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import pd, xr
from cortseq.models.base import Fit
from cortseq.scoring import tasks
from cortseq.scoring.statistics import Session, over_sessions

COLUMNS = "quantity learned tested value low high metric members trials".split()


@dataclass(frozen=True)
class Tested:
    """The test trials of one session and fold, with the session's null."""

    recording: xr.Dataset
    trials: Sequence[int]
    null: Fit


def table(
    names: list[str],
    fits: list[list[Fit]],
    tests: list[list[Tested]],
    burn_in: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the forgetting matrix and what follows from it, with 95 % intervals over trials and members.

    names : sessions in the order they were learned. fits, tests : (session, fold).
    Rows by `quantity`, in bits per event (nats for signals), mean over members:
    score    R[i, j]: `learned` is session i, `tested` session j
    change   R[i, j] - R[j, j] for i > j
    ACC, BWT see above; `tested` is "all" or "earlier"
    """
    kind, last = rec.kind(tests[0][0].recording), len(names) - 1
    cells = [_stage(learned, tests, _kept(fits), burn_in) for learned in fits]

    def row(quantity: str, i: int, tested: str, sessions: list[Session]) -> dict[str, Any]:
        gain = over_sessions(sessions, seed=seed).per(kind.unit_nats)
        values = {key: getattr(gain, name) for key, name in _VALUES.items()}
        sizes = {
            "members": len(np.asarray(sessions[0].log_prob_a)),
            "trials": sum(np.size(s.n_events) for s in sessions),
        }
        where = {"quantity": quantity, "learned": names[i], "tested": tested}
        return {**where, **values, **sizes, "metric": kind.metric}

    def changed(i: int, j: int) -> Session:
        return replace(cells[i][j], log_prob_b=cells[j][j].log_prob_a)

    each = range(len(names))
    rows = [row("score", i, names[j], [cells[i][j]]) for i in each for j in each]
    rows += [row("change", i, names[j], [changed(i, j)]) for j in each for i in each if i > j]
    rows.append(row("ACC", last, "all", cells[last]))
    rows.append(row("BWT", last, "earlier", [changed(last, j) for j in range(last)]))
    return pd.DataFrame(rows)[COLUMNS]


_VALUES = {"value": "estimate", "low": "low", "high": "high"}


def _members(fit: Fit) -> list[int]:
    """Numbers of the members that did not fail."""
    failed = fit.card.get("failed_members", {})
    return [m for m in range(fit.card["members"] + len(failed)) if str(m) not in failed]


def _kept(fits: list[list[Fit]]) -> list[list[int]]:
    """Per fold the members that learned every session: those of the matrix."""
    return [
        sorted(set.intersection(*(set(_members(f)) for f in stages))) for stages in zip(*fits, strict=True)
    ]


def _stage(
    learned: list[Fit], tests: list[list[Tested]], kept: list[list[int]], burn_in: int
) -> list[Session]:
    """One row of the matrix: nats of a stage's fits (one a fold) on each session, and of its null."""
    row = []
    for test in tests:
        mine = [_scored(fit, one).sel(member=k) for fit, one, k in zip(learned, test, kept, strict=True)]
        null = [_scored(one.null, one) for one in test]
        mine_sums, null_sums = (tasks._sums(folds, "log_prob", burn_in) for folds in (mine, null))
        row.append(Session(mine_sums, null_sums, tasks._events(mine, burn_in), **tasks._place(mine)))
    return row


def _scored(fit: Fit, test: Tested) -> xr.Dataset:
    arrays = {"log_prob": (("member", "trial", "time"), fit.log_prob(test.recording, test.trials).values)}
    return tasks._dataset(fit, test.recording, test.trials, arrays, {"member": _members(fit)})
