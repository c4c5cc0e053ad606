"""The page "Which claim may I make?": a case for each answer of each question."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from handmade import comparison
from scipy.stats import binomtest, chi2, ttest_1samp

from cortseq import models
from cortseq.dynamics import summary
from cortseq.dynamics.intervals import half_width
from cortseq.scoring import claims, words
from cortseq.scoring.claims import NO, NOT_ASKED, UNDECIDED, YES, inputs, members, scores
from cortseq.scoring.evidence import Evidence
from cortseq.scoring.rows import OPPONENTS


@pytest.fixture(scope="module")
def table():
    found = comparison()
    return found[(found["dataset"] == "ring") & ~found["averaged"].astype(bool)]


def evidence(table, outcome="better", **changes) -> Evidence:
    """The network `rate` of ring: five members, one split, above the null; `outcome` against chain and rival."""
    row = table[table["model"] == "rate"].to_dict("records")[0]
    p, low, high, equal = {
        "better": (0.001, 0.02, 0.08, 0.9),
        "worse": (0.001, -0.08, -0.02, 0.9),
        "equivalent": (0.6, -0.004, 0.006, 0.01),
        "undecided": (0.1, -0.02, 0.12, 0.9),
    }[outcome]
    row |= {"members": 5, "folds": 1, "blocks": 31.0, "rival_blocks": 30.0}
    for key in ("chain", "rival"):
        c = OPPONENTS[key]
        values = ((low + high) / 2, low, high, p, p, equal, 0.03)
        names = (c.gain, c.low, c.high, c.p, c.p_holm, c.equivalence_p, c.detectable)
        row |= dict(zip(names, values, strict=True))
    return Evidence(table, words.judged(row | changes))


def pair(value=0.05, low=0.02, high=0.08, p=0.001, **more) -> dict:
    numbers = {"value": value, "low": low, "high": high, "p_value": p, "smallest_p": 0.0001}
    return {**numbers, "detectable": 0.03, "members": 5, "blocks": 29, **more}


NOTHING = pair(0.02, -0.02, 0.06, 0.3)  # not shown
ALIKE = pair(0.001, -0.004, 0.006, 0.7)  # inside the margin
FEW = pair(smallest_p=0.0625)


# -- constant, chain, rival --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "answer"), [("better", YES), ("worse", NO), ("equivalent", NO), ("undecided", UNDECIDED)]
)
@pytest.mark.parametrize("rule", [scores.chain, scores.rival])
def test_the_answer_is_that_of_the_decision_table(table, rule, outcome, answer):
    found = evidence(table, outcome)
    line = rule(found, found.row)
    c = OPPONENTS[rule.__name__]
    assert line.answer == answer and line.unit == "bits/spike"
    assert (line.value, line.low, line.high) == tuple(found.row[name] for name in (c.gain, c.low, c.high))
    assert line.detectable == 0.03
    assert line.p == found.row[c.p_holm] and "Holm" in line.test
    assert f"{31 if rule is scores.chain else 30} blocks of trials x 5 restarts" in line.test
    assert ("`folds: 5`" in line.settle) == (answer == UNDECIDED)
    assert found.row["reference" if rule is scores.chain else "rival"] in line.claim


@pytest.mark.parametrize(
    ("changes", "settle"),
    [
        ({"members": 2}, "`members: 5`"),  # too few for a verdict
        ({"folds": 5}, "more trials"),
        ({}, "`folds: 5`"),
        # the gain is known to 0.07: members that differ by 0.06 make most of that, by 0.01 little
        ({"members": 3, "member_sd": 0.06}, "`members: 5`"),
        ({"members": 5, "member_sd": 0.06}, "`members: 10`"),
        ({"members": 3, "member_sd": 0.01}, "`folds: 5`"),
        ({"members": 3, "member_sd": 0.01, "folds": 5}, "more trials"),
    ],
)
def test_what_would_settle_an_undecided_line(table, changes, settle):
    found = evidence(table, "undecided", **changes)
    line = scores.chain(found, found.row)
    assert line.answer == UNDECIDED and line.settle.startswith(settle)


def test_too_few_blocks_are_no_claim(table):
    found = evidence(table, smallest_p=0.0625)
    line = scores.chain(found, found.row)
    assert line.answer == UNDECIDED and "few independent blocks" in line.claim and "`folds: 5`" in line.settle


def test_a_network_that_beats_a_bad_chain_has_not_won(table):
    """Not above the null, or of an early epoch: beating a chain is no victory. Nor is a chain below the null."""
    below = evidence(table, null_p=0.6, null_p_holm=0.6, low=-0.1, high=0.3)
    assert below.row["against_chain"] == "better"
    early = evidence(table, kept_epoch=2.0)
    for found in (below, early):
        for rule in (scores.chain, scores.rival):
            line = rule(found, found.row)
            assert line.answer == UNDECIDED and "whatever else it beats" in line.claim and line.settle
    bad = evidence(table, reference="null")
    line = scores.chain(bad, bad.row)
    assert line.answer == NOT_ASKED and "to beat one shows nothing" in line.claim
    assert (
        scores.constant(below, below.row).answer == UNDECIDED and scores.constant(bad, bad.row).answer == YES
    )


def test_models_that_the_study_lacks_are_named(table):
    found = evidence(table[table["role"] != "markov"])
    assert scores.chain(found, found.row).answer == NOT_ASKED
    assert "family: markov" in scores.chain(found, found.row).settle
    line = scores.rival(found, found.row)  # psth alone
    assert line.answer == YES and "no hidden Markov model and no regression" in line.claim
    assert "family: hmm" in line.settle and "family: glm" in line.settle
    assert "is best on validation" not in line.claim  # of one
    assert (
        "Of 2 models that are no networks psth is best"
        in scores.rival(evidence(table), evidence(table).row).claim
    )
    alone = evidence(table[table["role"].isin(["recurrent", "null"])])
    assert scores.rival(alone, alone.row).answer == NOT_ASKED
    psth = table[table["model"] == "psth"]
    every = evidence(pd.concat([table, *(psth.assign(family=name) for name in ("hmm", "glm"))]))
    assert (
        scores.rival(every, every.row).settle == ""
        and "The study has no" not in scores.rival(every, every.row).claim
    )


def test_a_network_stopped_by_its_budget_may_yet_win(table):
    found = evidence(table, "worse", late_gain=1.0)
    line = scores.chain(found, found.row)
    assert line.answer == NO and "stopped by its budget" in line.claim and "`epochs`" in line.settle


# -- memory, horizon, Dale's law ----------------------------------------------------------------------


_BEYOND = {"": "value", "_low": "low", "_high": "high", "_p": "p_value"}


def _memory(table, *rows) -> claims.Claim:
    late = [{f"beyond{end}": row[key] for end, key in _BEYOND.items()} for _, row in rows]
    named = {"model": "rate", "variant": "rate"}
    twins = pd.DataFrame([named | {"memory": k} | b | row for (k, row), b in zip(rows, late, strict=True)])
    found = replace(evidence(table), memory=twins)
    return scores.memory(found, found.row)


def test_long_memory_needs_networks_trained_on_windows(table):
    line = _memory(table)
    assert line.answer == NOT_ASKED and "memory: [2, 10]" in line.settle and "no evidence" in line.claim
    line = _memory(table, (10, NOTHING), (2, pair()))
    assert "Further back than 10 is not shown" in line.claim
    assert line.answer == YES and "further back than 2 bins" in line.claim and line.value == 0.05
    assert "further back than 10" in _memory(table, (2, pair()), (10, pair(0.03))).claim
    # how much is enough: the shortest window from which on every loss is shown to be below the margin
    some = {5: pair(), 10: ALIKE, 20: NOTHING, 30: ALIKE, 40: ALIKE}
    assert "From the last 30 it learns" in _memory(table, *some.items()).claim
    assert "From the last" not in _memory(table, (5, pair()), (10, NOTHING)).claim
    # the order is fixed: what is shown beyond a window at which nothing is shown counts for nothing
    line = _memory(table, (2, NOTHING), (10, pair()))
    assert line.answer == UNDECIDED and line.value == 0.02 and line.settle
    assert _memory(table, (2, ALIKE)).answer == NO
    line = _memory(table, (2, FEW))
    assert line.answer == UNDECIDED and "few independent blocks" in line.claim and np.isnan(line.detectable)
    assert _memory(table, (2, pair(members=2))).answer == UNDECIDED
    lossy = pair(-0.05, -0.08, -0.02)  # windows are better than the whole past
    assert _memory(table, (2, lossy)).answer == NO


def test_what_learning_from_windows_costs_is_no_memory(table):
    """A window that loses as much in bins that have no more behind them than it holds shows no memory."""
    cost = pair(beyond=0.001, beyond_low=-0.01, beyond_high=0.012, beyond_p=0.9)
    line = _memory(table, (10, cost))
    assert line.answer == UNDECIDED and "what learning from windows costs" in line.claim
    line = _memory(table, (2, pair()), (10, cost))
    assert line.answer == YES and "further back than 2 bins" in line.claim
    assert "Further back than 10 is not shown" in line.claim
    unknown = pair(beyond=np.nan, beyond_low=np.nan, beyond_high=np.nan, beyond_p=np.nan)
    assert _memory(table, (10, unknown)).answer == YES  # no bins to tell it by
    assert _memory(table, (10, pair(beyond_p=0.06))).answer == UNDECIDED


def test_a_network_that_sees_a_window_is_told_to_add_one_that_does_not(table):
    """`memory` is no setting of it: what the claim proposes is a study that is valid."""
    for family in models.registry().values():
        if family.role != "recurrent":
            continue
        name = family.model_fields["family"].default
        one = table.assign(family=table["family"].where(table["role"] != "recurrent", name))
        entry = re.search(r"`models: (\{.*\})`", _memory(one).settle)[1]
        for given in yaml.safe_load(entry).values():
            lengths = given.pop("memory", [None])
            assert all(models.find(given["family"])(**given, memory=k).memory == k for k in lengths)
        if family.windowed:
            assert "itself sees the last bins only" in _memory(one.assign(variant="other"), (2, pair())).claim


def _corners(low=0.02, high=0.08, p=0.001, few="", inputs_high=0.005):
    row = {"low": low, "high": high, "value": (low + high) / 2, "p_value": p, "few": few, "blocks": 17}
    row |= {"variant": "rate", "over": "encoding", "unit": "bits/spike"}
    other = row | {"what": "inputs given history", "low": -0.005, "high": inputs_high, "over": "blind"}
    return pd.DataFrame([row | {"what": "history given inputs"}, other])


@pytest.mark.parametrize(
    ("corners", "answer", "words_"),
    [
        (pd.DataFrame(), NOT_ASKED, "no models with inputs alone"),
        (_corners(), YES, "which sees the inputs alone. That is no memory yet"),
        (_corners(-0.004, 0.006, 0.4), NO, "no better than encoding"),
        (_corners(-0.02, 0.06, 0.3), UNDECIDED, "not shown, nor is it excluded"),
        (_corners(few="too few blocks"), UNDECIDED, "No claim: too few blocks"),
    ],
)
def test_the_past_is_held_against_the_inputs(table, corners, answer, words_):
    found = replace(evidence(table), corners=corners)
    line = inputs.past(found, found.row)
    assert line.answer == answer and words_ in line.claim
    assert bool(line.settle) == (answer in (UNDECIDED, NOT_ASKED))
    if not corners.empty:
        assert line.model == "rate less encoding" and "17 blocks" in line.test
        told = line.claim.endswith("The inputs add less than 0.01 bits/spike to the past.")
        assert told == ("too few" not in line.claim)
        blind = corners.assign(few="too few blocks")
        assert "add less than" not in inputs.past(replace(found, corners=blind), found.row).claim
        wide = replace(found, corners=_corners(inputs_high=0.05))
        assert "add less than" not in inputs.past(wide, wide.row).claim


def _ahead(table, *rows, beside=()) -> claims.Claim:
    ours, theirs = (
        pd.DataFrame([{"horizon": h, "biased": False, "trials": 7} | row for h, row in each])
        for each in (rows, beside)
    )
    found = replace(evidence(table), ahead=ours, ahead_of_rival=theirs)
    return scores.ahead(found, found.row)


def test_how_far_ahead_a_network_predicts(table):
    assert _ahead(table).answer == NOT_ASKED and "`horizons:" in _ahead(table).settle
    assert _ahead(table, (1, pair())).answer == NOT_ASKED
    line = _ahead(table, (1, pair()), (5, pair(0.04)), (2, pair(0.06)), (10, NOTHING))
    assert (
        line.answer == YES
        and "up to 5 bins" in line.claim
        and line.value == 0.04
        and "(7 test trials)" in line.claim
    )
    line = _ahead(table, (1, pair()), (2, NOTHING), (5, pair()))
    assert line.answer == UNDECIDED and "`forecast_trials`" in line.settle
    assert _ahead(table, (2, ALIKE)).answer == NO
    line = _ahead(table, (2, ALIKE | {"biased": True}))  # a biased point is too low: nothing is excluded
    assert line.answer == UNDECIDED and "`samples_at_most`" in line.settle


def test_forecasts_are_held_against_those_of_the_rival(table):
    """Distances beyond the next bin, Holm over them; nothing of points that too few futures leave too low."""
    worse, biased = pair(-0.05, -0.08, -0.02), pair(-0.3, -0.4, -0.2, biased=True)
    ours = [(h, pair()) for h in (1, 2, 5, 10)]
    beside = [(1, worse), (2, pair()), (5, worse), (10, biased)]
    said = _ahead(table, *ours, beside=beside).claim
    assert said.endswith("Beside psth, of 2, 5 and 10 bins ahead, it is better at 2 and worse at 5 (Holm).")
    nearly = worse | {"p_value": 0.03}
    said = _ahead(table, *ours, beside=[(2, nearly), (5, nearly), (10, nearly)]).claim
    assert said.endswith("At no distance is it shown to be better or worse than psth.")
    assert "psth, 2 bins ahead, it is worse at 2 (Holm)" in _ahead(table, *ours, beside=[(2, nearly)]).claim
    assert "psth" not in _ahead(table, *ours).claim


@pytest.mark.parametrize(
    ("found", "answer", "words_"),
    [
        (None, NOT_ASKED, "no network under Dale"),
        (pair(), YES, "dale predicts better than free"),
        (pair(-0.05, -0.08, -0.02), NO, "dale predicts worse than free"),
        (ALIKE, NO, "costs nothing"),
        (NOTHING, UNDECIDED, "is not shown"),
        (FEW, UNDECIDED, "few independent blocks"),
    ],
)
def test_dales_law_is_about_the_constraint(table, found, answer, words_):
    known = replace(evidence(table), dale=found and found | {"signed": "dale", "free": "free"})
    line = scores.inhibition(known, known.row)
    assert line.answer == answer and words_ in line.claim
    assert found is None or "both networks can inhibit" in line.claim
    assert bool(line.settle) == (answer in (UNDECIDED, NOT_ASKED))


# -- what the network is ------------------------------------------------------------------------------


def _dynamics(**each) -> pd.DataFrame:
    names = {"exponent": members.EXPONENT, "line": members.LINE, "slowest": members.SLOWEST}
    names |= dict(zip(("slow_loops", "visited_loops"), members.LOOPS, strict=True))
    units = {"exponent": "nats/bin", "line": "", "slowest": "s", "slow_loops": "", "visited_loops": ""}
    rows = []
    for k, v in each.items():
        values = np.array([float(x) for x in v.split()])
        half = half_width(values) if v else np.nan
        row = {
            "quantity": names[k],
            "unit": units[k],
            "each": v,
            "low": values.mean() - half if v else np.nan,
        }
        row |= {"high": values.mean() + half if v else np.nan}
        rows.append(row | {"verdict": "identified" if v else "not done: no"})
    return pd.DataFrame(rows)


def _asked(table, rule, **each) -> claims.Claim:
    found = replace(evidence(table), dynamics=_dynamics(**each))
    return rule(found, found.row)


def test_the_names_of_quantities_are_those_of_the_summary():
    assert {members.EXPONENT, members.LINE, members.SLOWEST, *members.LOOPS} <= {
        q.name for q in summary.QUANTITIES
    }


def _chaos(table, exponents: str, verdict: str) -> claims.Claim:
    found = replace(evidence(table), dynamics=_dynamics(exponent=exponents).assign(verdict=verdict))
    return members.chaotic(found, found.row)


def test_the_claim_on_chaos_is_the_verdict_of_the_table(table):
    """One rule, in `dynamics.summary`; its words are those of the claim, whatever signs and interval say."""
    line = _chaos(table, "0.1 0.12 0.09 0.11 0.1", "identified: chaotic")
    assert line.answer == YES and line.unit == "nats/bin" and line.settle == ""
    assert line.claim.endswith(" is chaotic.")
    values = [0.1, 0.12, 0.09, 0.11, 0.1]
    expected = ttest_1samp(values, 0)
    assert line.p == pytest.approx(expected.pvalue) and line.value == pytest.approx(np.mean(values))
    assert (line.low, line.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    fades = "not identifiable: growth fades in the second half of the run"
    line = _chaos(table, "0.1 0.12 0.09 0.11 0.1", fades)
    assert line.answer == UNDECIDED and line.claim.endswith(f"exponent is {fades}.")
    assert _chaos(table, "-0.1 -0.12 -0.09 -0.11 -0.1", "identified: not chaotic").answer == NO
    mixed = _chaos(table, "0.1 -0.12 0.09 -0.11 0.1", "not identifiable: signs differ")
    assert mixed.answer == UNDECIDED and mixed.settle.startswith("more training trials")
    few = _chaos(table, "0.1 0.12 0.11", "not identifiable: too few: 3 seeds of at least 5")
    assert few.answer == UNDECIDED and few.settle == "`members: 5`" and "too few" in few.claim
    calm = _chaos(table, "-0.1 -0.12 -0.11", "identified: not chaotic in these 3 members")
    assert calm.answer == NO and calm.claim.endswith(" is not chaotic in these 3 members.")
    assert _asked(table, members.chaotic).answer == NOT_ASKED
    undone = _asked(table, members.chaotic, exponent="")
    assert undone.answer == NOT_ASKED and "no." in undone.claim


def test_dynamics_are_those_of_the_best_network_that_has_any(table):
    """A transformer may be best: it has no state, and another network's is named in its place."""
    dynamics = _dynamics(exponent="0.1 0.12 0.09 0.11 0.1", line="0 0 0 0 0")
    dynamics = dynamics.assign(verdict="identified: chaotic")
    found = evidence(table)
    other = found.row | {"variant": "gru", "model": "gru"}
    for rule in (members.chaotic, members.line):
        line = rule(replace(found, dynamics=dynamics, moving=other), found.row)
        assert line.model == "gru" and line.answer in (YES, NO)
        said = "rate, which validation puts first, has no dynamics that can be analysed."
        assert line.claim.endswith(said)
        own = rule(replace(found, dynamics=dynamics, moving=found.row), found.row)
        assert own.model == "rate" and said not in own.claim
    unlearned = other | {"against_null": "not told apart"}
    line = members.chaotic(replace(found, dynamics=dynamics, moving=unlearned), found.row)
    assert line.answer == UNDECIDED and "not shown to predict better than a constant" in line.claim
    stable = members.stable(replace(found, dynamics=dynamics, moving=other), found.row)
    assert stable.model == "rate" and "quantities of their dynamics" not in stable.claim


def test_a_line_attractor_is_one_of_every_member(table):
    line = _asked(table, members.line, line="1 1 1 1 1", slowest="0.5 0.7 0.6 0.6 0.6")
    exact = binomtest(5, 5).proportion_ci(method="exact")
    assert line.answer == YES and (line.low, line.high) == pytest.approx((exact.low, exact.high))
    assert "At the fixed point nearest to the data the slowest decaying mode lasts 0.6 s" in line.claim
    assert line.value == 1
    none = _asked(table, members.line, line="0 0 0 0 0")
    assert none.answer == NO and none.value == none.low == 0
    some = _asked(table, members.line, line="1 0 1 1 0")
    exact = binomtest(3, 5).proportion_ci(method="exact")
    assert some.answer == UNDECIDED and (some.low, some.high) == pytest.approx((exact.low, exact.high))
    assert _asked(table, members.line, line="0 0 0").settle == "`members: 5`"


def test_a_ring_is_said_where_it_is_seen(table):
    seen = _asked(table, members.line, line="0 0 0 0 0", slow_loops="1 1 0 2 1", visited_loops="1 1 1 1 1")
    assert seen.answer == NO
    assert (
        "In 3 of 5 members the slow points near the data make one loop, as on a ring or a cycle."
        in seen.claim
    )
    assert "In every member the visited states make one loop, as on a ring or a cycle." in seen.claim
    unseen = _asked(table, members.line, line="0 0 0 0 0", slow_loops="0 2 0 2 0", visited_loops="")
    assert "loop" not in unseen.claim


@pytest.mark.parametrize("rule", [members.chaotic, members.line, members.free, scores.memory, scores.ahead])
def test_nothing_is_claimed_of_a_network_that_does_not_describe_the_recording(table, rule):
    for changes in ({"null_p": 0.6, "null_p_holm": 0.6, "low": -0.1}, {"kept_epoch": 2.0}):
        found = evidence(table, **changes)
        line = rule(found, found.row)
        assert line.answer == UNDECIDED and line.claim.startswith("Nothing may be claimed") and line.settle


@pytest.mark.parametrize(
    ("sd", "n", "answer"), [(0.001, 5, YES), (0.05, 5, NO), (0.006, 5, UNDECIDED), (0.001, 2, UNDECIDED)]
)
def test_members_agree_where_their_spread_is_shown_to_be_inside_the_margin(table, sd, n, answer):
    found = evidence(table, members=n, member_sd=sd)
    line = members.stable(found, found.row)
    assert line.answer == answer and line.value == sd
    low, high = (sd * np.sqrt((n - 1) / chi2.ppf(q, n - 1)) for q in (0.975, 0.025))
    assert (line.low, line.high) == pytest.approx((low, high))
    ratio = (n - 1) * (sd / 0.01) ** 2
    assert line.p == pytest.approx(2 * min(chi2.sf(ratio, n - 1), chi2.cdf(ratio, n - 1)))
    assert line.p < 0.05 or answer == UNDECIDED


def test_numbers_that_are_0_in_every_member_show_no_agreement(table):
    """Of three lines one is 0 by construction: members agree on one of the other two."""
    lines = _dynamics(exponent="0.1 0.1 0.1", line="0 0 0", slowest="0.5 0.9 0.1")
    lines.loc[lines["quantity"] == members.SLOWEST, "verdict"] = (
        "not identifiable: sd of the members is large"
    )
    found = replace(evidence(table, member_sd=0.001), dynamics=lines)
    said = members.stable(found, found.row).claim
    assert said.endswith("Of 2 quantities of their dynamics that are not 0 in all of them they agree on 1.")


def test_one_member_has_no_spread(table):
    found = evidence(table, members=1)
    assert members.stable(found, found.row).answer == NOT_ASKED


def _free(table, **gaps) -> claims.Claim:
    """`gaps`: how much worse than the ruler the members are, by statistic; of correlations less is worse."""
    rows = []
    for statistic, values in gaps.items():
        measure = "correlation" if statistic == "psth" else "error"
        for m, gap in enumerate(values):
            value = 0.5 - gap if measure == "correlation" else 0.5 + gap
            rows.append(dict(member=m, statistic=statistic, measure=measure, value=value, ruler=0.5))
    found = replace(evidence(table), generation=pd.DataFrame(rows))
    return members.free(found, found.row)


def test_free_runs_are_held_against_the_halves_of_the_recording(table):
    near, far = [0.01, 0.02, 0.0, -0.01, 0.01], [0.4, 0.42, 0.38, 0.41, 0.4]
    wide = [0.3, -0.2, 0.1, 0.25, -0.1]
    assert _free(table).answer == NOT_ASKED
    line = _free(table, psth=near, rates=near)
    assert line.answer == YES and line.p < 0.05 and "2 measures" in line.test
    line = _free(table, psth=near, rates=far)
    assert line.answer == NO and "rates (error)" in line.claim and line.value == pytest.approx(np.mean(far))
    test = ttest_1samp(far, 0.1)
    assert line.p == pytest.approx(2 * test.pvalue)
    assert (line.low, line.high) == pytest.approx(tuple(test.confidence_interval(1 - 0.05 / 2)))
    assert _free(table, psth=far, rates=near).answer == NO
    assert _free(table, psth=wide, rates=near).answer == UNDECIDED
    assert _free(table, psth=near[:2]).settle == "`members: 5`"


def test_words_interval_and_p_of_free_runs_agree_after_the_correction(table):
    """A gap of .44 [.17, .72] by itself is shown to be above .1; among eleven measures it is not."""
    near, gap = [0.01, 0.02, 0.0, -0.01, 0.01], 0.442 + 0.223 * np.array([-1.2, -0.6, 0, 0.6, 1.2]) / 0.949
    alone, among = _free(table, psth=gap), _free(table, psth=gap, **{f"s{i}": near for i in range(10)})
    assert alone.answer == NO and alone.low > 0.1 and alone.p < 0.05
    assert (alone.low, alone.high) == pytest.approx((0.165, 0.719), abs=0.001)
    assert among.answer == UNDECIDED and among.low < 0.1 < among.high
    assert among.p == pytest.approx(11 * ttest_1samp(gap, 0.1).pvalue) and "Bonferroni" in among.test


def test_free_runs_that_run_away_are_said_to():
    """Mean counts that are further off than silence, which is off by their size."""
    table = pd.DataFrame(
        [
            {"member": m, "statistic": statistic, "measure": "error", "value": value, "ruler": 0.03}
            for statistic, values in {"mean counts": [0.04, 52.4, 160.1], "PSTH": [3.0, 3.0, 3.0]}.items()
            for m, value in enumerate(values)
        ]
    )
    assert members._away(table) == (
        " They run away in 2 of 3 members: mean counts are off by 52.4 to 160 times their size."
    )
    assert members._away(table[table["member"] == 0]) == ""
    assert "1 of 2 members: mean counts are off by 52.4 times" in members._away(table[table["member"] < 2])


def test_the_number_of_undecided_free_runs_is_the_one_that_is_unclear(table):
    """A mean gap of .05 is shown to be below .1; one of .03 that varies is not, and is the one shown."""
    tight, loose = [0.05, 0.051, 0.049, 0.05, 0.05], [0.3, -0.2, 0.1, 0.25, -0.3]
    line = _free(table, rates=tight, psth=loose)
    assert line.answer == UNDECIDED and line.value == pytest.approx(np.mean(loose)) and "psth" in line.claim
    assert line.low < 0.1 < line.high


# -- the table ---------------------------------------------------------------------------------------


def test_claims_csv_has_a_line_for_every_question(table):
    found = claims.table({"ring": evidence(table), "none": Evidence(table, None)})
    assert list(found.columns) == claims.COLUMNS and set(found["dataset"]) == {"ring"}
    assert len(found) == len(claims.RULES) == 11 and found["question"].is_unique
    assert set(found["answer"]) <= {YES, NO, UNDECIDED, NOT_ASKED} and (found["claim"] != "").all()
    assert (found["model"] == "rate").all()
    open_ = found["answer"].isin([UNDECIDED, NOT_ASKED]) & ~found["question"].str.contains("freely")
    assert (found.loc[open_, "settle"] != "").all()
