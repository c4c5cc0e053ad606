"""Rows of comparison.csv of one recording: each model against the null, the best chain, the best rival."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortseq.observations import Track
from cortseq.scoring.ladder import rung
from cortseq.scoring.notes import known
from cortseq.scoring.scored import Scored
from cortseq.scoring.statistics import PairedDifference, paired, scored

# Columns of comparison.csv. `metric` names the unit of every score; empty cells: does not apply.
COLUMNS = {
    "dataset": "the recording",
    "model": "entry of the study; <entry>_averaged for its members' mean prediction",
    "variant": "the setting of the sweep that is best on validation (a/b where folds chose differently)",
    "family": "the model's family",
    "role": "recurrent, markov, baseline or null",
    "rung": "of the ladder of baselines, L0 to L7 (scoring/ladder.py)",
    "knows": "what a model is given of a trial beside its past: inputs, a PSTH's conditions, drift's place",
    "averaged": "True: an extra row, log (1/M) sum_m p_m per bin; no model itself, not in the Holm family",
    "metric": "bits_per_spike, bits_per_symbol or nats_per_sample",
    "value": "joint log-likelihood over the null of training means, per event, mean over members; "
    "bins t >= burn_in",
    "low": "lower end of its 95 % interval over blocks of trials and members (docs/likelihood.md)",
    "high": "upper end",
    "null_p": "of the test that `value` is 0, two-sided: sign flips of blocks, t where members spread",
    "null_p_holm": "Holm-adjusted over all recurrent models and recordings of the study",
    "null_smallest_p": "the smallest p (after Holm) that so many blocks and resamples can give",
    "null_detectable": "as detectable_gain",
    "null_blocks": "independent blocks of test trials, as found from the gain over the null",
    "null_equivalence_p": "of two one-sided tests that `value` is inside the margin",
    "against_null": "better, worse, equivalent, undecided, or why there is no verdict (scoring/words.py)",
    "member_sd": "standard deviation of `value` over members",
    "best_member": "the member that is best on validation",
    "best_member_value": "its value",
    "value_evaluation_null": "`value` over a null with the evaluated trials' mean (benchmark convention)",
    "value_cold": "`value` over all bins, from a cold start; equals it where burn_in is 0",
    "value_per_s": "`value` in bits per second (counts)",
    "mean_rate": "sum_n log Pois(y_n; E[y_n | past]) over the null, bits per spike (counts)",
    "mean_rate_evaluation_null": "the same over the evaluated trials' mean (Neural Latents Benchmark)",
    "unit_mean": "mean over units of each unit's mean-rate bits per spike over its own null (counts)",
    "units_scored": "units in that mean",
    "units_silent": "units left out of it: no spike in the scored test bins",
    "population_r": "correlation over bins of expected with recorded counts, summed over units (counts)",
    "spatial_r": "the same over units in one bin, mean over bins with a spike",
    "unit_r": "the same over bins, mean over units with a spike",
    "unit_r_weighted": "the same, units weighted by their spikes",
    "unit_r_expected": "what unit_r would be if the expectations were true Poisson rates",
    "gain_over_markov": "`value` minus that of `reference`",
    "gain_low": "lower end of its 95 % interval",
    "gain_high": "upper end",
    "p_value": "of the test of that difference, two-sided, as null_p",
    "p_holm": "Holm-adjusted over all recurrent models and recordings of the study",
    "smallest_p": "the smallest p (after Holm) that so many blocks and resamples can give",
    "detectable_gain": "the gain that so many trials and members detect with power 0.8 at level 0.05; empty "
    "where smallest_p is not below 0.05",
    "equivalence_margin": "0.01 per event (times the channels on signals)",
    "equivalence_p": "of two one-sided tests that the difference from the chain is inside the margin",
    "equivalent": "True where equivalence_p < 0.05 and a verdict is possible",
    "against_chain": "as against_null, of that difference",
    "mean_rate_over_markov": "`mean_rate` minus that of the reference (counts)",
    "rival": "the model that is no network and best on validation: chain, HMM, regression, floor or null",
    "gain_over_rival": "`value` minus the rival's",
    "rival_low": "lower end of its 95 % interval",
    "rival_high": "upper end",
    "rival_p": "of the test of that difference, two-sided, as null_p",
    "rival_p_holm": "Holm-adjusted over all recurrent models and recordings of the study",
    "rival_smallest_p": "the smallest p (after Holm) that so many blocks and resamples can give",
    "rival_detectable": "as detectable_gain",
    "rival_blocks": "independent blocks of test trials, as found from the gain over the rival",
    "rival_equivalence_p": "of two one-sided tests that the difference from the rival is inside the margin",
    "against_rival": "as against_null, of that difference",
    "mean_rate_over_rival": "`mean_rate` minus that of the rival (counts)",
    "loss": "the model's own bits per symbol, lower is better (symbols)",
    "parameters": "learned, per member",
    "members": "random restarts that the numbers are means over",
    "settings_tried": "settings compared on validation",
    "choice_stability": "share of bootstrap resamples of the validation trials in which the same variant "
    "would be chosen, mean over folds (empty where there is one variant)",
    "kept_epoch": "epoch whose weights are kept, median over members (networks without an earlier fit)",
    "late_gain": "gain of the best validation score in the last tenth of the epochs, mean over members",
    "learning": "learned, learned nothing (not shown to have), stopped by its budget (scoring/words.py)",
    "folds": "splits that were tested; 1: intervals are conditional on it",
    "split_share": "share of the variance of the gain over the chain (else over the null) that comes from "
    "training sets; 0 with one split",
    "trials": "test trials with a scored bin",
    "blocks": "independent blocks of test trials, as found from the gain over the chain (else over the null)",
    "block_trials": "trials in such a block",
    "n_events": "spikes, symbols or samples that are scored",
    "bin_ms": "bin width (not on symbols)",
    "true_rates": "value of the generator's true rates (synthetic)",
    "ceiling": "value of the generator's exact one-step filter (synthetic)",
    "reference": "what gains are measured from: the chain that is best on validation, or the null if that is "
    "better",
    "verdict": "one sentence",
}


@dataclass(frozen=True)
class References:
    """What every row of a recording is measured against.

    Attributes
    ----------
    null : the model of training means.
    reference : the Markov chain that is best on validation.
    rival : the best on validation of all models that are no networks: chains, HMMs, regressions, floors.
    evaluation_null : nats of the evaluated trials under their own mean, by "joint" and "mean_rate".
    kind : track of the recording.
    bin_width : seconds.
    seed, resamples : of the sign flips.
    place : where the test trials are in the recording, keywords of `paired`.
    margin : of equivalence, in units of the metric.
    """

    null: Scored
    reference: Scored | None
    rival: Scored | None
    evaluation_null: dict[str, float]
    kind: Track
    bin_width: float
    seed: int
    place: dict[str, Any]
    margin: float
    resamples: int

    @property
    def unit(self) -> float:
        """Nats per unit of the metric: ln 2 for bits, 1 for nats."""
        return self.kind.unit_nats

    def difference(self, a: np.ndarray, b: np.ndarray, events: np.ndarray) -> PairedDifference:
        """Return the paired difference of two models' scores in units of the metric.

        Parameters
        ----------
        a, b : (member, trial), nats.
        events : (trial,).
        """
        return paired(a, b, events, self.resamples, self.seed, **self.place).per(self.unit)


@dataclass(frozen=True)
class Opponent:
    """Columns of the difference between a model and what it is set against.

    Attributes
    ----------
    gain, low, high : the difference and its interval.
    p, p_holm, smallest_p, equivalence_p, detectable : of its tests.
    blocks : independent blocks of test trials that the tests are over.
    outcome : in a word or two, see `words.outcome`.
    name : the column with the opponent's name; "" where it is the null.
    mean_rate : the difference of the mean-rate scores.
    """

    gain: str
    low: str
    high: str
    p: str
    p_holm: str
    smallest_p: str
    detectable: str
    equivalence_p: str
    blocks: str
    outcome: str
    name: str = ""
    mean_rate: str = ""

    def columns(self, found: PairedDifference, margin: float) -> dict[str, float]:
        """Return the numbers of a difference, in units of the metric, by column."""
        return {
            self.gain: found.estimate,
            self.low: found.low,
            self.high: found.high,
            self.p: found.p_value,
            self.smallest_p: found.smallest_p,
            self.detectable: found.detectable,
            self.equivalence_p: found.equivalence(margin),
            self.blocks: found.pieces,
        }


OPPONENTS = {
    "null": Opponent(
        "value",
        "low",
        "high",
        "null_p",
        "null_p_holm",
        "null_smallest_p",
        "null_detectable",
        "null_equivalence_p",
        "null_blocks",
        "against_null",
    ),
    "chain": Opponent(
        "gain_over_markov",
        "gain_low",
        "gain_high",
        "p_value",
        "p_holm",
        "smallest_p",
        "detectable_gain",
        "equivalence_p",
        "blocks",
        "against_chain",
        "reference",
        "mean_rate_over_markov",
    ),
    "rival": Opponent(
        "gain_over_rival",
        "rival_low",
        "rival_high",
        "rival_p",
        "rival_p_holm",
        "rival_smallest_p",
        "rival_detectable",
        "rival_equivalence_p",
        "rival_blocks",
        "against_rival",
        "rival",
        "mean_rate_over_rival",
    ),
}


def model_rows(
    whole: Scored, variants: list[list[Scored]], given: References, stability: float = np.nan
) -> list[dict[str, Any]]:
    """Return the row of a model, and a second one for its members' mean prediction where there are several.

    Parameters
    ----------
    whole : the model's scores, joined over folds.
    variants : per variant of the sweep, per fold.
    given : what the model is measured against.
    stability : of the choice of the variant.
    """
    spec, orders = whole.card["model"], {s[0].card["model"].get("order") for s in variants}
    extra = {
        "settings_tried": sum(s[0].card.get("settings_tried", 1) for s in variants),
        "choice_stability": stability,
        "rung": rung(spec, whole.role, order_chosen=len(orders) > 1),
    }
    return [
        _row(s, given) | extra | {"averaged": s is not whole}
        for s in (whole, whole.averaged)
        if s is not None
    ]


def _row(s: Scored, given: References) -> dict[str, Any]:
    null, kind, events = given.null, given.kind, s.test_events
    total = events.sum() * given.unit
    each = (s.test - null.test).sum(1) / total
    return {
        **dict.fromkeys(COLUMNS, np.nan),
        "model": s.model,
        "variant": s.variant,
        "family": s.card["model"]["family"],
        "role": s.role,
        "knows": known(s.card),
        "metric": kind.metric,
        "member_sd": float(each.std(ddof=1)) if len(each) > 1 else np.nan,
        "best_member": s.best_member,
        "best_member_value": float((s.best - null.best).sum() / total),
        "value_evaluation_null": float((s.test.mean(0).sum() - given.evaluation_null["joint"]) / total),
        "value_cold": float((s.cold.mean(0) - null.cold[0]).sum() / (s.cold_events.sum() * given.unit)),
        "value_per_s": each.mean() * events.sum() / s.test_seconds if kind.has_events else np.nan,
        "loss": -float(s.test.mean(0).sum() / total) if kind.has_labels else np.nan,
        "parameters": s.card["parameters"],
        "members": len(s.test),
        "kept_epoch": float(np.median(s.kept_epochs)) if len(s.kept_epochs) else np.nan,
        "late_gain": float(s.late_gains.mean() / given.unit) if len(s.late_gains) else np.nan,
        "trials": int(scored(s.test, null.test, events).sum()),
        "n_events": int(events.sum()),
        "bin_ms": given.bin_width * 1e3 if kind.timed else np.nan,
        "reference": given.reference.variant if given.reference else "",
        "rival": given.rival.variant if given.rival else "",
        "equivalence_margin": given.margin,
        **(_rates(s, given, total) if kind.has_events else {}),
        **_differences(s, given, total),
    }


def _differences(s: Scored, given: References, total: float) -> dict[str, Any]:
    """Return the columns of the differences from the null, the chain and the rival."""
    found: dict[str, Any] = {}
    against = {"null": given.null, "chain": given.reference, "rival": given.rival}
    for key, other in against.items():
        if other is None or (key != "null" and (s.model, s.variant) == (other.model, other.variant)):
            continue
        gain = given.difference(s.test, other.test, s.test_events)
        found |= OPPONENTS[key].columns(gain, given.margin)
        if key != "rival":  # the chain's, where there is one
            found |= {"blocks": gain.pieces, "block_trials": gain.block_trials}
            found["split_share"] = gain.split_share
        if OPPONENTS[key].mean_rate and given.kind.has_events:
            ahead = (s.mean_rate.mean(0) - other.mean_rate.mean(0)).sum()
            found[OPPONENTS[key].mean_rate] = float(ahead / total)
    return found


def _rates(s: Scored, given: References, total: float) -> dict[str, Any]:
    """Score the expected counts alone: pooled, and the mean over units with test spikes."""
    mine = s.mean_rate.mean(0).sum()
    live = s.units["events"] > 0
    gain = (s.units["nats"] - given.null.units["nats"])[live] / (s.units["events"][live] * given.unit)
    return {
        "mean_rate": float((mine - given.null.mean_rate[0].sum()) / total),
        "mean_rate_evaluation_null": float((mine - given.evaluation_null["mean_rate"]) / total),
        "unit_mean": float(gain.mean()),
        "units_scored": int(live.sum()),
        "units_silent": int((~live).sum()),
        **s.correlations,
    }
