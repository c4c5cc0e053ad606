"""Rows of comparison.csv of one recording: each model against the null, the best chain, the best rival."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortseq.observations import Track
from cortseq.scoring.ladder import rung
from cortseq.scoring.scored import Scored
from cortseq.scoring.statistics import PairedDifference, paired

# Columns of comparison.csv. `metric` names the unit of every score; empty cells: does not apply.
COLUMNS = {
    "dataset": "the recording",
    "model": "entry of the study; <entry>_averaged for its members' mean prediction",
    "variant": "the setting of the sweep that is best on validation (a/b where folds chose differently)",
    "family": "the model's family",
    "role": "recurrent, markov, baseline or null",
    "rung": "of the ladder of baselines, L0 to L7 (scoring/ladder.py)",
    "averaged": "True: an extra row, log (1/M) sum_m p_m per bin; no model itself, not in the Holm family",
    "metric": "bits_per_spike, bits_per_symbol or nats_per_sample",
    "value": "joint log-likelihood over the null of training means, per event, mean over members; "
    "bins t >= burn_in",
    "low": "lower end of its 95 % bootstrap interval over trials (or blocks) and members",
    "high": "upper end",
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
    "gain_over_markov": "`value` minus that of the chain that is best on validation (`reference`)",
    "gain_low": "lower end of its 95 % interval",
    "gain_high": "upper end",
    "p_value": "of the sign-flip test of that difference, two-sided",
    "p_holm": "Holm-adjusted over all recurrent models and recordings of the study",
    "detectable_gain": "the gain that so many trials detect with power 0.8 at level 0.05",
    "equivalence_margin": "0.01 per event (times the channels on signals)",
    "equivalence_p": "of two one-sided tests that the difference from the chain is inside the margin",
    "equivalent": "True where equivalence_p < 0.05",
    "rival": "the model that is no network and best on validation: chain, HMM, regression or floor",
    "gain_over_rival": "`value` minus the rival's",
    "rival_low": "lower end of its 95 % interval",
    "rival_high": "upper end",
    "rival_p": "of the sign-flip test of that difference, two-sided",
    "rival_p_holm": "Holm-adjusted over all recurrent models and recordings of the study",
    "loss": "the model's own bits per symbol, lower is better (symbols)",
    "parameters": "learned, per member",
    "members": "random restarts that the numbers are means over",
    "settings_tried": "settings compared on validation",
    "trials": "test trials",
    "blocks": "independent pieces that are resampled",
    "n_events": "spikes, symbols or samples that are scored",
    "bin_ms": "bin width (not on symbols)",
    "true_rates": "value of the generator's true rates (synthetic)",
    "ceiling": "value of the generator's exact one-step filter (synthetic)",
    "reference": "the chain that gains are measured from",
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
    seed, resamples : of the bootstrap.
    blocks : (trial,), which block of the bootstrap each test trial is in.
    margin : of equivalence, in units of the metric.
    """

    null: Scored
    reference: Scored | None
    rival: Scored | None
    evaluation_null: dict[str, float]
    kind: Track
    bin_width: float
    seed: int
    blocks: np.ndarray
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
        return paired(a, b, events, self.resamples, self.seed, self.blocks).per(self.unit)


_GAINS = (
    "gain_over_markov gain_low gain_high p_value detectable_gain equivalence_margin equivalence_p "
    "gain_over_rival rival_low rival_high rival_p".split()
)


def model_rows(whole: Scored, variants: list[list[Scored]], given: References) -> list[dict[str, Any]]:
    """Return the row of a model, and a second one for its members' mean prediction where there are several.

    Parameters
    ----------
    whole : the model's scores, joined over folds.
    variants : per variant of the sweep, per fold.
    given : what the model is measured against.
    """
    spec, orders = whole.card["model"], {s[0].card["model"].get("order") for s in variants}
    extra = {
        "settings_tried": sum(s[0].card.get("settings_tried", 1) for s in variants),
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
    over_null = given.difference(s.test, null.test, events)
    each = (s.test - null.test).sum(1) / total
    row = {
        "model": s.model,
        "variant": s.variant,
        "family": s.card["model"]["family"],
        "role": s.role,
        "metric": kind.metric,
        "value": over_null.estimate,
        "low": over_null.low,
        "high": over_null.high,
        "member_sd": float(each.std(ddof=1)) if len(each) > 1 else np.nan,
        "best_member": s.best_member,
        "best_member_value": float((s.best - null.best).sum() / total),
        "value_evaluation_null": float((s.test.mean(0).sum() - given.evaluation_null["joint"]) / total),
        "value_cold": float((s.cold.mean(0) - null.cold[0]).sum() / (s.cold_events.sum() * given.unit)),
        "value_per_s": over_null.estimate * events.sum() / s.test_seconds if kind.has_events else np.nan,
        "loss": -float(s.test.mean(0).sum() / total) if kind.has_labels else np.nan,
        "parameters": s.card["parameters"],
        "members": len(s.test),
        "trials": len(events),
        "blocks": len(np.unique(given.blocks)),
        "n_events": int(events.sum()),
        "bin_ms": given.bin_width * 1e3 if kind.timed else np.nan,
        "reference": given.reference.variant if given.reference else "",
        "rival": given.rival.variant if given.rival else "",
        "equivalent": False,
        **dict.fromkeys([*_GAINS, *_RATES], np.nan),
    }
    if kind.has_events:
        row |= _rates(s, given, total)
    chain = given.reference
    if chain is not None and (s.model, s.variant) != (chain.model, chain.variant):
        row |= _gain(given.difference(s.test, chain.test, events), given.margin)
    rival = given.rival
    if rival is not None and (s.model, s.variant) != (rival.model, rival.variant):
        gain = given.difference(s.test, rival.test, events)
        found = (gain.estimate, gain.low, gain.high, gain.p_value)
        row |= dict(zip(("gain_over_rival", "rival_low", "rival_high", "rival_p"), found, strict=True))
    return row


_RATES = "mean_rate mean_rate_evaluation_null unit_mean units_scored units_silent".split()


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
    }


def _gain(gain: PairedDifference, margin: float) -> dict[str, Any]:
    p = gain.equivalence(margin)
    return {
        "gain_over_markov": gain.estimate,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "p_value": gain.p_value,
        "detectable_gain": gain.detectable,
        "equivalence_margin": margin,
        "equivalence_p": p,
        "equivalent": bool(p < 0.05),
    }
