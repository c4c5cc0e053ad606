"""Scores of a variant as the comparison reads them: by trial and member, one fold or all joined."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.errors import CortseqError
from cortseq.scoring import correlations, products

RESAMPLES = 1000  # of the validation trials
_BY_MEMBER, _BY_TRIAL = partial(np.zeros, (1, 0)), partial(np.zeros, 0)  # no trial yet


@dataclass
class Scored:
    """A variant's scores on one fold, or joined over folds.

    Attributes
    ----------
    variant, model : names in the study.
    card : of the fit.
    swept : settings of the sweep.
    test, valid : (member, trial), log-likelihood of the scored bins, nats.
    test_events, valid_events : (trial,), scored events.
    best_member : the member that is best on validation.
    best : (trial,), `test` of that member.
    test_seconds : scored time.
    cold, cold_events : `test` and `test_events` from the first bin on, whatever the burn-in.
    mean_rate : (member, trial), sum_n log Pois(y_n; E[y_n]) of test trials; no trial on other tracks.
    units : by unit, nats (mean over members) and events.
    correlations : of expected with recorded counts by name (`correlations.NAMES`), means over members and
        folds; none on other tracks.
    kept_epochs : (member,) of all folds, epoch whose weights are kept; none of models that do not learn by
        epochs, or that began with an earlier fit.
    late_gains : (member,) of all folds, fall of the best validation loss in the last tenth of the epochs, in
        nats per event.
    averaged : scores of the members' mean prediction, where there are several.
    """

    variant: str
    model: str
    card: dict[str, Any]
    swept: dict[str, Any] = field(default_factory=dict)
    test: np.ndarray = field(default_factory=_BY_MEMBER)
    valid: np.ndarray = field(default_factory=_BY_MEMBER)
    test_events: np.ndarray = field(default_factory=_BY_TRIAL)
    valid_events: np.ndarray = field(default_factory=_BY_TRIAL)
    best: np.ndarray = field(default_factory=_BY_TRIAL)
    best_member: int = 0
    test_seconds: float = 0.0
    cold: np.ndarray = field(default_factory=_BY_MEMBER)
    cold_events: np.ndarray = field(default_factory=_BY_TRIAL)
    mean_rate: np.ndarray = field(default_factory=_BY_MEMBER)
    units: pd.DataFrame = field(default_factory=lambda: pd.DataFrame())
    correlations: dict[str, float] = field(default_factory=dict)
    kept_epochs: np.ndarray = field(default_factory=_BY_TRIAL)
    late_gains: np.ndarray = field(default_factory=_BY_TRIAL)
    averaged: Scored | None = None

    @property
    def role(self) -> str:
        """Role in the study: recurrent, markov, baseline or null."""
        return str(self.card["role"])


def gather(
    variant: str,
    model: str,
    swept: dict[str, Any],
    cards: list[dict[str, Any]],
    scores: list[xr.Dataset],
    burn_in: int,
    curves: list[pd.DataFrame] | None = None,
) -> list[Scored]:
    """Sum a variant's scores over bins t >= burn_in, one Scored per fold.

    Parameters
    ----------
    cards, scores : of each fold, the fit's card and the product of the score stage.
    curves : of each fold, losses by member and epoch (`Fit.curves`).
    burn_in : bins at the start of a trial that are not scored.

    Raises
    ------
    CortseqError : a product was scored with another burn-in than the study's.
    """
    folds = []
    for i, (card, score) in enumerate(zip(cards, scores, strict=True)):
        if score.attrs["burn_in"] != burn_in:
            raise CortseqError(
                f"{variant} was scored with another burn-in than the study's {burn_in}",
                key="burn_in",
                value=score.attrs["burn_in"],
                fix="run the score stage again",
            )
        scored = _fold(variant, model, swept, card, score, burn_in)
        if len(scored.test) > 1:
            names = f"{variant}_averaged", f"{model}_averaged"
            scored.averaged = _fold(*names, swept, card, products.averaged(score), burn_in)
        if curves is not None:
            scored.kept_epochs, scored.late_gains = _ends(curves[i], card["model"].get("epochs"))
        folds.append(scored)
    return folds


def _ends(curves: pd.DataFrame, epochs: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the kept epochs and the late gains of the members, see `Scored`.

    A fit that began with an earlier one has an epoch 0; how soon it was best says nothing of what it learned.
    A fit that its patience ended before its last epoch has no late gain. `epochs`: how many it may have.
    """
    kept, gains = [], []
    for _, mine in curves.groupby("member"):
        loss = mine.set_index("epoch")["valid_loss"]
        last = mine.loc[mine["best"], "epoch"].max() if mine["best"].any() else loss.idxmin()
        early = loss[loss.index <= 0.9 * loss.index.max()]
        late = last > 0.9 * loss.index.max() and loss.index.max() >= (epochs or 0)
        gains.append(early.min() - loss[last] if late else 0.0)
        if loss.index.min() > 0:
            kept.append(last)
    return np.array(kept, float), np.array(gains, float)


def _fold(
    variant: str, model: str, swept: dict[str, Any], card: dict[str, Any], score: xr.Dataset, burn_in: int
) -> Scored:
    test, valid = (score.isel(trial=np.flatnonzero(score["role"].values == r)) for r in ("test", "valid"))
    late, late_valid = (part.isel(time=slice(burn_in, None)) for part in (test, valid))
    sums = late_valid["log_prob"].sum("time").values
    best = int(sums.sum(1).argmax())
    scored = Scored(
        variant,
        model,
        card,
        swept,
        test=late["log_prob"].sum("time").values,
        valid=sums,
        test_events=late["n_events"].sum("time").values,
        valid_events=late_valid["n_events"].sum("time").values,
        best=late["log_prob"].isel(member=best).sum("time").values,
        best_member=best,
        test_seconds=float(late["log_prob"].isel(member=0).notnull().sum()) * score.attrs["bin_width"],
        cold=test["log_prob"].sum("time").values,
        cold_events=test["n_events"].sum("time").values,
    )
    if "mean_rate" in score:
        nats, events = test["unit_score"].mean("member").sum("trial"), test["unit_events"].sum("trial")
        scored.mean_rate = late["mean_rate"].sum("time").values
        scored.units = pd.DataFrame({"nats": nats.values, "events": events.values}, score["unit"].values)
        means = score["correlation"].mean("member").values.tolist()
        scored.correlations = dict(zip(correlations.NAMES, means, strict=True))
    return scored


def choose(variants: list[Scored]) -> Scored:
    """Return the variant with the best validation log-likelihood, mean over members."""
    return max(variants, key=lambda v: v.valid.mean(0).sum())


def shares(variants: list[Scored], seed: int) -> np.ndarray:
    """Return how often each variant would be chosen on another sample of the validation trials, (variant,).

    Shares of RESAMPLES bootstrap resamples of the trials (Efron & Tibshirani 1993, An Introduction to the
    Bootstrap).

    Parameters
    ----------
    variants : of one model on one fold.
    seed : of the resamples.
    """
    nats = np.stack([v.valid.mean(0) for v in variants])
    n = nats.shape[1]
    drawn = np.random.default_rng([seed, 51]).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    best = (drawn @ nats.T).argmax(1)
    return np.bincount(best, minlength=len(variants)) / RESAMPLES


def chosen(variants: pd.DataFrame, dataset: str, role: str) -> list[str]:
    """Return the variants of a role that validation chose on one recording, the best first.

    `variants`: variants.csv.
    """
    rows = variants[(variants["dataset"] == dataset) & (variants["role"] == role) & variants["chosen"]]
    return list(map(str, rows.sort_values("valid", ascending=False, kind="stable")["variant"]))


def join(folds: list[Scored]) -> Scored:
    """Join one model's scores of all folds along trials; each fold may have chosen another variant.

    Folds may have lost members; only as many are kept as every fold has.
    """
    members = min(len(s.test) for s in folds)
    units = pd.concat([s.units for s in folds])

    def along(name: str) -> np.ndarray:
        parts = [getattr(s, name) for s in folds]
        return np.concatenate([p[:members] if p.ndim == 2 else p for p in parts], axis=-1)

    each = [s.averaged for s in folds if s.averaged is not None]
    joined: dict[str, Any] = {name: along(name) for name in _PER_TRIAL}
    return replace(
        folds[0],
        variant="/".join(dict.fromkeys(s.variant for s in folds)),
        **joined,
        test_seconds=sum(s.test_seconds for s in folds),
        units=units.groupby(level=0, sort=False).sum() if len(units) else units,
        correlations={
            name: float(np.mean([s.correlations[name] for s in folds])) for name in folds[0].correlations
        },
        averaged=join(each) if len(each) == len(folds) else None,
    )


def best(models: list[list[Scored]]) -> Scored:
    """Return the model that is best on validation, chosen in every fold for itself, joined over folds.

    Parameters
    ----------
    models : per model or variant, per fold.
    """
    folds = [choose(list(fold)) for fold in zip(*models, strict=True)]
    most = max(len(s.test) for s in folds)
    return join([_repeated(s, most) if len(s.test) == 1 else s for s in folds])


def _repeated(s: Scored, members: int) -> Scored:
    """Return a model without restarts as so many equal members, to stand beside folds of one with them."""

    def several(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, members, 0) if values.shape[1] else values  # a score that the track lacks

    whole, valid, cold, mean_rate = map(several, (s.test, s.valid, s.cold, s.mean_rate))
    return replace(s, test=whole, valid=valid, cold=cold, mean_rate=mean_rate)


_PER_TRIAL = (
    "test valid test_events valid_events best cold cold_events mean_rate kept_epochs late_gains".split()
)
