"""Sentences, tables of the terminal and of the page, from comparisons written by hand."""

import dataclasses
import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade import comparison

from cortseq import cli, report, signs, store
from cortseq import recording as rec
from cortseq.scoring import claims, failures, notes, printed, words
from cortseq.scoring.rows import OPPONENTS

TEMPLATE = Path(__file__).parents[2] / "workflow/report/report.html.jinja"


@pytest.fixture(scope="module")
def table():
    return comparison()


def _judged(table: pd.DataFrame, dataset: str, model: str, **changes) -> dict:
    """A row of the table with some cells changed, judged again."""
    row = table[(table["dataset"] == dataset) & (table["model"] == model)].to_dict("records")[0]
    return words.judged(row | changes)


# -- sentences -------------------------------------------------------------------------------------


def test_a_sentence_for_every_model(table):
    said = table.set_index(["dataset", "model"])["verdict"]
    assert said["ring", "null"] == "null is the zero of the scale."
    assert said["ring", "psth"] == "psth predicts better than a constant (+0.352 bits/spike)."
    assert said["ring", "rate"] == (
        "rate predicts better than a constant (+0.228 bits/spike). It is better than the best chain markov_order2 "
        "by 0.115 bits/spike ([+0.088, +0.147], p = 0.0006, Holm). It is worse than the best model that is no "
        "network psth by 0.124 bits/spike ([-0.157, -0.083], p = 0.0008, Holm)."
    )
    # before the adjustment p is 0.021, after it 0.063: nothing is shown
    assert said["ring", "lstm"].startswith(
        "lstm predicts better than a constant (+0.141 bits/spike). A difference from the best chain "
        "markov_order2 is not shown (+0.028 bits/spike, p = 0.063, Holm; 0.037 could have been detected). It is "
    )
    # the chain is also the best model that is no network: it is named once
    assert said["song", "rate"] == (
        "rate predicts better than a constant (+0.534 bits/symbol). It is worse than the best chain markov by "
        "0.087 bits/symbol ([-0.125, -0.043], p = 0.0022, Holm)."
    )
    assert said["wave", "rate"].startswith(
        "rate predicts better than a constant (+0.725 nats/sample). It is as good as the best chain markov "
        "(+0.007 nats/sample, within 0.02: p = 0.032). It is worse than the best model that is no network hmm"
    )
    assert said["ring", "lstm_averaged"] == (
        "lstm_averaged: the members' mean prediction, +0.402 bits/spike; no model of its own."
    )


# Cells of a difference, by what is shown of it.
CELLS = {
    "better": (0.05, 0.02, 0.08, 0.01, 0.9, 0.001),
    "worse": (-0.05, -0.08, -0.02, 0.01, 0.9, 0.001),
    "equivalent": (0.001, -0.004, 0.006, 0.6, 0.01, 0.001),
    "undecided": (0.05, -0.02, 0.12, 0.1, 0.9, 0.001),
    "too few blocks": (0.05, 0.02, 0.08, 0.0625, 0.01, 0.0625),
}
SENTENCES = {
    ("null", "better"): "predicts better than a constant (+0.050 bits/spike).",
    ("null", "worse"): "predicts worse than a constant (-0.050 bits/spike).",
    (
        "null",
        "equivalent",
    ): "predicts as well as a constant and no better (+0.001 bits/spike, within 0.01: p = 0.01).",
    ("null", "undecided"): "is not shown to predict better than a constant (+0.050 bits/spike, "
    "[-0.020, +0.120], p = 0.1, Holm; 0.037 could have been detected).",
    (
        "null",
        "too few blocks",
    ): "scores +0.050 bits/spike over a constant. There is no verdict: so few independent "
    "blocks of test trials allow no p below 0.05.",
    (
        "null",
        "too few restarts",
    ): "scores +0.050 bits/spike over a constant. There is no verdict on a network of 2 "
    "random restarts: three are the least, five are better.",
    "better": "It is better than {} by 0.050 bits/spike ([+0.020, +0.080], p = 0.01, Holm).",
    "worse": "It is worse than {} by 0.050 bits/spike ([-0.080, -0.020], p = 0.01, Holm).",
    "equivalent": "It is as good as {} (+0.001 bits/spike, within 0.01: p = 0.01).",
    "undecided": "A difference from {} is not shown (+0.050 bits/spike, p = 0.1, Holm; 0.037 could have been detected).",
    "too few blocks": "Its score less that of {} is +0.050 bits/spike, without a verdict.",
    "too few restarts": "Its score less that of {} is +0.050 bits/spike, without a verdict.",
}
NAMES = {"chain": "the best chain markov_order2", "rival": "the best model that is no network psth"}


def _cells(against: str, shown: str) -> dict:
    """Columns of one opponent such that this is shown of a network."""
    found = CELLS.get(shown, CELLS["better"])
    c = OPPONENTS[against]
    columns = (c.gain, c.low, c.high, c.p_holm, c.equivalence_p, c.smallest_p)
    restarts = {"members": 2} if shown == "too few restarts" else {}
    return dict(zip(columns, found, strict=True)) | {c.detectable: 0.037} | restarts


@pytest.mark.parametrize("against", ["null", "chain", "rival"])
@pytest.mark.parametrize("shown", [*CELLS, "too few restarts"])
def test_the_decision_table(table, against, shown):
    """Every cell: what is shown of a network against null, chain and rival, in a word and in a sentence."""
    row = _judged(table, "ring", "rate", **_cells(against, shown))
    assert row[OPPONENTS[against].outcome] == shown
    if against == "null":
        assert row["verdict"].startswith(f"rate {SENTENCES['null', shown]}")
    else:
        assert SENTENCES[shown].format(NAMES[against]) in row["verdict"]


def test_interval_and_adjusted_p_decide_together(table):
    for against in OPPONENTS:
        c = OPPONENTS[against]
        for change in ({c.low: -0.001}, {c.p_holm: 0.051}):
            assert (
                _judged(table, "ring", "rate", **_cells(against, "better") | change)[c.outcome] == "undecided"
            )
        for change in ({c.high: 0.001}, {c.p_holm: 0.051}):
            assert (
                _judged(table, "ring", "rate", **_cells(against, "worse") | change)[c.outcome] == "undecided"
            )
    # a model without restarts needs none, and is in no family: its own p counts
    row = _judged(table, "ring", "psth", null_p=0.06)
    assert row["against_null"] == "undecided" and row["members"] == 1
    assert _judged(table, "ring", "psth")["against_null"] == "better"


def test_what_a_network_has_learned(table):
    learned = {"kept_epoch": 40.0, "late_gain": 0.0068}  # the interval is 0.068 wide
    assert _judged(table, "ring", "rate", **learned)["learning"] == "learned"
    late = _judged(table, "ring", "rate", late_gain=0.0069)
    assert late["learning"] == "stopped by its budget"
    assert late["verdict"].endswith(
        "It was stopped by its budget: its best validation score rose by 0.007 bits/spike in the last tenth of the epochs."
    )
    early = _judged(table, "ring", "rate", kept_epoch=3.0, late_gain=0.5)
    assert early["learning"] == "learned nothing"
    assert early["verdict"].endswith("It learned nothing after epoch 3.")
    below = _judged(table, "ring", "rate", **_cells("null", "undecided"))
    assert below["learning"] == "learned nothing" and below["verdict"].endswith(
        "It is not shown to have learned anything."
    )
    both = _judged(table, "ring", "rate", **_cells("null", "undecided"), kept_epoch=3.0)
    assert both["verdict"].endswith(
        "It is not shown to have learned anything (the weights kept are of epoch 3)."
    )
    untaught = _judged(table, "ring", "rate", kept_epoch=np.nan, late_gain=np.nan)  # it has no epochs
    assert untaught["learning"] == "learned"
    assert _judged(table, "ring", "psth")["learning"] == ""


@pytest.mark.parametrize(("against", "other"), NAMES.items())
def test_an_order_that_the_mean_rate_score_reverses_names_the_mixture(table, against, other):
    c = OPPONENTS[against]
    worse = _judged(table, "ring", "rate", **_cells(against, "worse"), **{c.mean_rate: 0.03})["verdict"]
    assert f"the order is reversed (+0.030 bits/spike): {other} may be ahead in the shape" in worse
    assert "mean-rate score, no test" in worse and "A mixture read-out (`mixture: 8`) can tell." in worse
    better = _judged(table, "ring", "rate", **_cells(against, "better"), **{c.mean_rate: -0.03})["verdict"]
    assert "the order is reversed (-0.030 bits/spike): it may be ahead in the shape" in better
    assert "mixture" not in better
    for shown, ahead in (("worse", -0.03), ("better", 0.03), ("undecided", -0.03)):
        same = _judged(table, "ring", "rate", **_cells(against, shown), **{c.mean_rate: ahead})
        assert "reversed" not in same["verdict"]


def test_the_words_of_a_row_are_those_of_its_columns(table):
    """Sentence and headline read what `judged` wrote; equivalence is decided there alone."""
    row = _judged(table, "ring", "rate", equivalence_p=0.049, equivalent=False)
    assert row["equivalent"] is True
    assert not _judged(table, "ring", "rate", equivalence_p=0.051, equivalent=True)["equivalent"]
    assert words.verdict(row | {"against_chain": "worse", "learning": "learned nothing"}).endswith(
        "It is not shown to have learned anything."
    )
    assert "It is worse than the best chain" in words.verdict(row | {"against_chain": "worse"})
    (line,) = _headlines(table, row | {"against_null": "undecided"})
    assert line.endswith("; no network beats the mean rate.")


def test_a_p_at_its_floor_is_written_as_an_upper_bound(table):
    row = _judged(table, "ring", "rate", p_holm=0.0001)
    assert "p ≤ 0.0001, Holm" in row["verdict"] and printed.short_p(0.0001, 0.0001) == "≤0.0001"
    assert printed.short_p(0.00011, 0.0001) == "0.00011" and printed.short_p(np.nan, 0.0001) == ""


def _headlines(table, *rows: dict) -> list[str]:
    """Headlines of ring with some rows in place of the network `rate`; no `lstm`."""
    ring = table[(table["dataset"] == "ring") & ~table["model"].isin(["lstm", "lstm_averaged", "rate"])]
    return words.summary(pd.concat([ring, pd.DataFrame(rows)], ignore_index=True))


def test_a_headline_for_every_recording(table):
    """Averaged members are no model; a network that wins only before the adjustment does not count."""
    assert words.summary(table) == [
        "ring: psth scores highest, 0.352 bits/spike over the null (55 % of what the exact filter reaches); rate "
        "beats the best chain (markov_order2); lstm is not told apart from the best chain (markov_order2); rate and "
        "lstm are worse than the best model that is no network (psth); networks are not ranked against each "
        "other.",
        "song: markov scores highest, 0.621 bits/symbol over the null; rate is worse than the best chain (markov).",
        "wave: hmm scores highest, 0.812 nats/sample over the null; rate is as good as the best chain (markov); rate "
        "is worse than the best model that is no network (hmm).",
    ]


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("better", "rate beats"),
        ("worse", "rate is worse than"),
        ("equivalent", "rate is as good as"),
        ("undecided", "rate is not told apart from"),
        ("too few blocks", "there are too few blocks for a verdict on rate against"),
    ],
)
def test_winners_losers_and_ties_are_in_the_headline(table, shown, said):
    for against, name in NAMES.items():
        title, variant = name.rsplit(" ", 1)
        (line,) = _headlines(table, _judged(table, "ring", "rate", **_cells(against, shown)))
        assert f"; {said} {title} ({variant})" in line


def test_many_networks_that_share_an_outcome_are_counted_not_named(table):
    def networks(number, **last):
        rows = [_judged(table, "ring", "rate", **_cells("chain", "better")) for _ in range(number)]
        named = [row | {"variant": f"net{i}", "model": f"net{i}"} for i, row in enumerate(rows)]
        return [*named[:-1], named[-1] | last]

    (line,) = _headlines(table, *networks(4))
    assert "; all 4 networks beat the best chain (markov_order2)" in line and "net1" not in line
    (line,) = _headlines(table, *networks(3))
    assert "; net0, net1 and net2 beat the best chain" in line
    (line,) = _headlines(table, *networks(5, against_chain="worse"))
    assert "; net0, net1, net2 and net3 beat the best chain" in line and "; net4 is worse than" in line


def test_a_network_of_two_restarts_has_no_verdict_even_against_the_null(table):
    (line,) = _headlines(table, _judged(table, "ring", "rate", **_cells("chain", "too few restarts")))
    assert "there are too few restarts for a verdict on rate, even against the null" in line
    assert "on rate against the best" not in line


def test_networks_that_do_not_beat_the_mean_rate_are_no_winners(table):
    """A recording of homogeneous Poisson spikes: network -.000, chain -.025, hidden Markov model +.011."""
    chain = {"gain_over_markov": 0.025, "gain_low": 0.02, "gain_high": 0.03, "p_holm": 0.001}
    network = _judged(table, "ring", "rate", value=-0.0002, low=-0.001, high=0.0006, null_p=0.6, **chain)
    (line,) = _headlines(table, network)
    assert line.endswith("; no network beats the mean rate.") and "chain" not in line
    second = network | {"model": "gru", "variant": "gru"}
    (line,) = _headlines(table, _judged(table, "ring", "rate"), network | {"variant": "elman"}, second)
    assert "; elman and gru are not shown to beat the null; rate beats" in line
    alone = table[(table["dataset"] == "ring") & (table["model"] == "null")]
    assert words.summary(pd.concat([alone, pd.DataFrame([network])])) == [
        "ring: no network beats the mean rate, nor is any other model shown to."
    ]
    floor = _judged(table, "ring", "psth", value=0.001, low=-0.01, high=0.02, null_p=0.8)
    assert words.summary(pd.concat([alone, pd.DataFrame([floor])])) == [
        "ring: no model is shown to beat the null."
    ]


def test_where_there_is_no_mean_rate_no_network_is_shown_to_beat_the_null(table):
    """Symbols and signals: the words name the null, since no rate is its prediction."""
    song = table[(table["dataset"] == "song") & (table["model"] != "rate")]
    network = _judged(table, "song", "rate", value=-0.0002, low=-0.001, high=0.0006, null_p=0.6)
    (line,) = words.summary(pd.concat([song, pd.DataFrame([network])]))
    assert line.endswith("; no network is shown to beat the null.")
    (line,) = words.summary(pd.DataFrame([network]))
    assert line == "song: no network is shown to beat the null, nor is any other model shown to."


def _failed(table: pd.DataFrame, *failed: tuple[str, str, str]) -> pd.DataFrame:
    """The table with rows of models (dataset, name, role) that could not be fitted."""
    rows = [(dataset, "scores", name, 0, "no memory") for dataset, name, _ in failed]
    models = {
        (dataset, name): {"model": name, "variant": name, "family": name, "role": role}
        for dataset, name, role in failed
    }
    return failures.append(table, pd.DataFrame(rows, columns=list(failures.COLUMNS)), models)


def test_a_headline_says_which_references_failed(table):
    """A chain or an HMM that failed changes what a network is set against; a network that failed does not."""
    failed = _failed(
        table, ("ring", "markov_order3", "markov"), ("ring", "hmm", "baseline"), ("wave", "gru", "recurrent")
    )
    ring, song, wave = words.summary(table)
    said = ring.removesuffix(".") + "; markov_order3 and hmm failed and could not be a reference."
    assert words.summary(failed) == [said, song, wave]
    assert said in printed.text(failed) and html.escape(said) in _page(failed)


def test_without_a_chain_or_with_one_that_loses_the_sentence_is_whole(table):
    gone = dict.fromkeys(("gain_over_markov", "gain_low", "gain_high", "p_value", "p_holm"), np.nan)
    row = _judged(table, "ring", "rate", **gone, reference="")
    assert row["against_chain"] == "" and "chain" not in row["verdict"]
    (line,) = _headlines(table, row)
    assert (
        line.endswith("; rate is worse than the best model that is no network (psth).")
        and "chain" not in line
    )
    # the reference is the null where every chain loses to it: said once, as the score over a constant
    row = _judged(table, "ring", "rate", reference="null")
    assert "chain" not in row["verdict"] and row["against_chain"] == "better"


def test_no_verdict_is_neither_nothing_learned_nor_a_loss(table):
    """Two restarts: a wide interval that reaches 0 says nothing of the network."""
    row = _judged(table, "ring", "rate", value=0.3, low=-0.02, high=0.62, members=2, equivalence_p=0.001)
    assert row["against_null"] == "too few restarts" and row["learning"] == ""
    assert "learned nothing" not in row["verdict"] and not row["equivalent"]
    (line,) = _headlines(table, row)
    assert "no network beats" not in line and "; there is no verdict on whether rate beats the null" in line
    alone = table[(table["dataset"] == "ring") & (table["model"] == "null")]
    assert words.summary(pd.concat([alone, pd.DataFrame([row])])) == [
        "ring: there is no verdict on whether rate beats the null."
    ]


def test_a_higher_score_that_is_not_shown_is_not_passed_over(table):
    row = _judged(table, "ring", "rate", value=9.0, low=-1.0, high=19.0, null_p=0.3, null_p_holm=0.3)
    (line,) = _headlines(table, row)
    assert " scores highest of the models whose interval lies above the null, " in line


@pytest.mark.parametrize(
    ("reference", "rival", "said"),
    [
        (np.nan, np.nan, ""),
        (
            "null",
            "hmm",
            "No Markov chain beats the null on validation trials. The best model that is no network",
        ),
        (
            "null",
            "null",
            "No chain, hidden Markov model, regression or floor beats the null on validation trials.",
        ),
        (np.nan, "hmm", "The best model that is no network (chain, HMM, regression or floor) is hmm."),
    ],
)
def test_the_sentence_on_references_is_whole(reference, rival, said):
    assert notes.references({"reference": reference, "rival": rival}).startswith(said)
    assert bool(said) == bool(notes.references({"reference": reference, "rival": rival}))


def test_a_reversal_inside_the_margin_is_none(table):
    c = OPPONENTS["chain"]
    row = _judged(table, "ring", "rate", **_cells("chain", "worse"), **{c.mean_rate: 0.0001})
    assert "reversed" not in row["verdict"]


def test_learned_nothing_and_budget_are_in_the_headline(table):
    (line,) = _headlines(table, _judged(table, "ring", "rate", kept_epoch=2.0))
    assert line.endswith("; rate learned nothing after the first epochs.")
    (line,) = _headlines(table, _judged(table, "ring", "rate", late_gain=0.05))
    assert line.endswith("; rate stopped by the budget.")


# -- a terminal ------------------------------------------------------------------------------------


def _columns(line: str) -> list[str]:
    """Cells of a line of a table in a terminal: a number with its interval is one."""
    return re.findall(r"[+-]\d\.\d+ \[[^\]]*\]|\S+ \(averaged\)|\S+", line)


def _is_head(line: str, names: list[str]) -> bool:
    return bool(re.fullmatch(r"\s*" + r"\s+".join(map(re.escape, names)) + r"\s*", line))


def test_the_tables_of_a_terminal(table):
    parts = re.split(r"(?m)^(?=(?:ring|song|wave): \d)", printed.text(table))
    ring, song, wave = (part for part in parts if re.match(r"(ring|song|wave): \d", part))
    assert ring.splitlines()[0] == (
        "ring: 31 test trials, 407 events; exact filter 0.640; true rates 0.830; "
        "gains over the best chain in 31 independent blocks of 1 trial"
    )
    assert song.splitlines()[0].startswith("song: 17 test trials, 211 events; ")
    assert wave.splitlines()[0].endswith("; gains over the best chain in 12 independent blocks of 3 trials")
    first, second = (i for i, line in enumerate(ring.splitlines()) if line.strip().startswith("model"))
    rows = [_columns(line) for line in ring.splitlines()[first + 1 : second - 1]]
    names = [row[0] for row in rows]
    assert names == ["lstm (averaged)", "psth", "rate", "lstm", "markov_order2", "null"]  # best first
    names = [
        "model", "rung", "bits/spike", "over best chain", "p (Holm)", "over best non-network", "equivalent",
        "parameters", "members",
    ]  # fmt: skip
    assert _is_head(ring.splitlines()[first], names)
    assert rows[2] == [
        "rate", "L7", "+0.228 [+0.191, +0.259]", "+0.115 [+0.088, +0.147]", "0.0006",
        "-0.124 [-0.157, -0.083]",
        "131", "3",
    ]  # fmt: skip
    assert rows[3][4] == "0.063"  # the adjusted p of the lstm
    assert rows[1] == ["psth", "L0'", "+0.352 [+0.318, +0.391]", "+0.239 [+0.218, +0.263]", "45", "1"]
    assert rows[4][2:4] == ["+0.113 [+0.071, +0.152]", "-0.239 [-0.263, -0.218]"]  # the chain over the rival
    names = [
        "model", "joint", "mean-rate", "mean over units", "evaluation null", "mean-rate, evaluation null",
        "cold start", "bits/s", "(2 units without test spikes)",
    ]  # fmt: skip
    assert _is_head(ring.splitlines()[second], names)
    rate = [_columns(line) for line in ring.splitlines()[second + 1 :] if line.strip().startswith("rate")]
    assert rate == [["rate", "+0.228", "+0.206", "+0.199", "+0.211", "+0.189", "+0.215", "+2.280"]]
    assert "cold start" not in song and re.search(r"rate\s+\+0.534\s+\+0.530\s+\+1.051", song)
    assert re.search(r"rate\s+L7\s+\+0.725 \[\+0.659, \+0.794\].*yes\s+47\s+5", wave)
    assert "(averaged): the members' mean prediction" in printed.text(table)


def test_the_short_tables_fit_a_terminal(table, tmp_path, capsys):
    """At most 100 letters a line, every model but averages once, the numbers those of the table."""
    long = table.assign(
        variant=table["variant"].replace("lstm", "long_short_term_memory_with_many_settings"),
        reference=table["reference"].where(table["dataset"] != "song", "null"),
    )
    shown = printed.short(long, POOLED)
    assert max(map(len, shown.splitlines())) <= 100 and "(averaged)" not in shown
    assert "long_short_t…ny_settings" in shown
    ring, song = re.split(r"(?m)^(?=(?:ring|song|wave): \d)", shown)[1:3]
    (line,) = (line for line in ring.splitlines() if line.startswith("rate "))
    assert re.findall(r"\S+ \[[^]]+\]|\S+", line) == [
        "rate", "0.228", "0.115 [0.088, 0.147]", "0.0006", "-0.124 [-0.157, -0.083]", "0.0008",
    ]  # fmt: skip
    assert "over the best chain" in ring and "over the null" in song and "over the best chain" not in song
    assert "gains over the null in" in song and "No Markov chain beats the null" in song
    store.write_table(table, tmp_path / "comparison.csv")
    assert cli.main(["show", str(tmp_path)]) == 0
    assert capsys.readouterr().out == printed.short(store.read_table(tmp_path / "comparison.csv")) + "\n"


def test_what_a_floor_knows_of_a_trial_is_said(table):
    """In the terminal and on the page, of the model that knows it and of no other."""
    knows = table["knows"].mask((table["dataset"] == "ring") & (table["model"] == "psth"), "target")
    said = "psth knows more of each trial than the networks: target."
    assert printed.text(table.assign(knows=knows)).count(f"ring: {said}") == 1
    assert _plain(_page(table.assign(knows=knows))).count(said) == 1
    assert "knows more" not in printed.text(table) + _plain(_page(table))


SESSIONS = "metric bin_ms model role sessions value low high gain_over_markov gain_low gain_high p_value"
POOLED = pd.DataFrame(
    [
        ("bits_per_spike", 20.0, "rate", "recurrent", 3, 0.21, 0.14, 0.29, 0.05, -0.02, 0.11, 0.17),
        ("bits_per_spike", 20.0, "psth", "baseline", 3, 0.33, 0.31, 0.36, np.nan, np.nan, np.nan, np.nan),
    ],
    columns=SESSIONS.split(),
)


def test_recordings_pooled_on_a_terminal(table):
    text = printed.text(table, POOLED)
    after = text[text.index("Across recordings, each weighing the same:") :]
    assert re.search(
        r"rate\s+bits/spike\s+3\s+\+0\.210 \[\+0\.140, \+0\.290\]\s+\+0\.050 \[-0\.020, \+0\.110\]", after
    )
    assert re.search(r"psth\s+bits/spike\s+3\s+\+0\.330 \[\+0\.310, \+0\.360\]\s*\n", after)


def test_recordings_pooled_on_the_page(table):
    page = _page(table, pooled=POOLED)
    (rows,) = (rows for rows in _tables(page) if "recordings" in rows[0])
    assert rows[0] == ["model", "metric", "recordings", "gain over the null", "over best chain", "p"]
    assert rows[1] == [
        "rate",
        "bits/spike",
        "3",
        "+0.210 [+0.140, +0.290]",
        "+0.050 [-0.020, +0.110]",
        "0.17",
    ]
    assert rows[2][-2:] == ["", ""] and "not adjusted for the number of models" in _plain(page)
    assert "Across recordings" not in _plain(_page(table)) + _plain(_page(table, pooled=POOLED.iloc[:0]))


def test_cortseq_show_prints_the_tables_of_the_folder(table, tmp_path, capsys):
    store.write_table(table, tmp_path / "comparison.csv")
    store.write_table(POOLED, tmp_path / "sessions.csv")
    assert cli.main(["show", str(tmp_path), "--all"]) == 0
    shown = capsys.readouterr().out
    assert shown == printed.text(store.read_table(tmp_path / "comparison.csv"), POOLED) + "\n"
    for line in words.summary(table):
        assert line in shown
    assert "+0.115 [+0.088, +0.147]" in shown and "Across recordings" in shown
    (tmp_path / "sessions.csv").unlink()
    assert cli.main(["show", str(tmp_path / "comparison.csv")]) == 0
    assert "Across recordings" not in capsys.readouterr().out


def test_cortseq_show_without_a_study_says_so(tmp_path, capsys):
    assert cli.main(["show", str(tmp_path)]) == 2
    assert "no finished study here" in capsys.readouterr().err


def test_cortseq_show_of_a_study_of_theory(tmp_path, capsys):
    columns = "phenomenon what predicted measured low high row note holds".split()
    rows = [
        ("euler", "order of the rule", 1.0, 0.98, 0.9, 1.1, "", "", True),
        ("euler", "threshold", 2.0, 2.6, 1.8, 2.2, "", "", False),
        ("chaos", "reported only", 0.3, 0.35, np.nan, np.nan, "", "", True),
    ]
    store.write_table(pd.DataFrame(rows, columns=columns), tmp_path / "theory.csv")
    assert cli.main(["show", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "theory: 1 of 2 checks hold, 1 numbers are reported" in shown
    assert re.search(r"threshold\s+2\s+2\.6\s+1\.8\s+2\.2\s+False", shown)
    assert re.search(r"order of the rule\s+1\s+0\.98\s+0\.9\s+1\.1\s+True", shown)


# -- the page --------------------------------------------------------------------------------------


def _tables(page: str) -> list[list[list[str]]]:
    """Texts of the cells of every table of a page, row by row."""
    found = []
    for body in re.findall(r"<table[^>]*>(.*?)</table>", page, re.DOTALL):
        rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
        found.append(
            [
                [_plain(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)]
                for row in rows
            ]
        )
    return found


def _plain(text: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", text)).strip()


def _named(rows: list[list[str]]) -> dict[str, list[tuple[str, str]]]:
    """Rows below the head by their first cell: (head, cell) in order."""
    head, *body = rows
    return {row[0]: list(zip(head, row, strict=True)) for row in body}


TIMING = pd.DataFrame(
    [("ring", "rate", 0, 12.34, 310.0, "cpu"), ("ring", "rate", 1, 15.67, 322.0, "cuda"),
    ("song", "rate", 0, 1.9, 99.0, "cpu")],
    columns=["dataset", "variant", "fold", "seconds", "peak_memory_mb", "device"],
)  # fmt: skip
SMOOTHED = pd.DataFrame(
    [("hmm", 1, 0.271, 0.244, 0.233, 0.255, 2, 6)],
    columns=["smoother", "fold", "value", "over_training_mean", "low", "high", "units_out", "units_in"],
)
DYNAMICS = pd.DataFrame(
    [
        (
            "participation ratio",
            np.nan,
            "open",
            3.4,
            2.9,
            4.1,
            0.52,
            "3.1 3.7",
            "identifiable",
            2,
            1.2,
            1.5,
            "learned",
        ),
        (
            "largest exponent",
            "nats/bin",
            "closed",
            -0.125,
            np.nan,
            np.nan,
            0.031,
            "-0.1 -0.15",
            "not identifiable",
            2,
            -0.12,
            np.nan,
            "as untrained",
        ),
    ],
    columns="quantity unit map value low high sd each verdict members untrained shuffled learned".split(),
).assign(interval="calibrated by 20 refits")
SVG = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="10pt" height="20pt"><text>x</text></svg>'


@pytest.fixture(scope="module")
def page(table):
    return _page(table)


def _page(
    table: pd.DataFrame,
    folds: int = 2,
    lines: pd.DataFrame | None = None,
    pooled=None,
    explained=None,
    recordings=None,
) -> str:
    audits = {
        "audits": [
            {"name": "overlap", "passed": True, "detail": "no trial twice", "stopping": True},
            {"name": "canary", "passed": False, "detail": "0.4 bits too good", "stopping": False},
            {"name": "causality", "passed": False, "detail": "sees bin 7", "stopping": True},
        ]
    }
    figures = [
        {
            "name": "scores",
            "title": "Scores",
            "caption": "of all",
            "dataset": "",
            "svg": SVG,
            "printed": True,
        },
        {
            "name": "trial_song",
            "title": "A trial",
            "caption": "of `song`",
            "dataset": "song",
            "svg": SVG,
            "printed": True,
        },
    ]
    return report.render(
        TEMPLATE,
        {
            "study": "hand",
            "seed": 4,
            "folds": folds,
            "members": 3,
            "burn_in": 5,
            "controls": True,
            "calibrate": 20,
            "epochs": {"rate": 120, "lstm": 120},
        },
        table,
        TIMING,
        dict.fromkeys(("ring", "song", "wave"), audits),
        {name: {"trials": f"trials of {name}"} for name in ("ring", "song", "wave")} | (recordings or {}),
        figures,
        {"numpy": "2.1"},
        {"ring": SMOOTHED},
        {"ring": {"rate": DYNAMICS}},
        claims=lines,
        pooled=pooled,
        explained=explained,
    )


def test_what_inputs_explain_is_among_the_first_lines(table):
    """Of the recordings that have inputs, in the box above all figures."""
    said = "Inputs alone (encoding) explain 0.2 bits/spike. Given the inputs, the past adds 0.1."
    page = _page(table, explained={"ring": said, "song": "", "wave": ""})
    begin = page.index('<div class="summary">')
    box = page[begin : page.index("</div>", begin)]
    assert f"ring: {said}" in box and "song: </p>" not in box
    assert box.count("<p>") == 4  # three headlines, and this


def test_what_may_overturn_the_answer_stands_beside_it(table):
    """A recording that lost a unit: the warning is among its facts, and in the box with the first lines."""
    counts = np.random.default_rng(0).poisson(0.3, (60, 50, 4))
    known = _facts(counts)
    counts[40:, :, 2] = 0
    told = _facts(counts)
    assert report._cautions(known) == []
    (said,) = report._cautions(told)
    assert said.startswith("1 of 4 units have no spike in a long stretch of trials: 2 (trials 40 to 59)")
    assert said.endswith(
        "; a model that notices what is recorded predicts it, which is neither memory nor dynamics"
    )
    page = _page(table, recordings={"ring": told})
    assert html.escape(f"ring: caution: {said}.") in page[: page.index("<figure ")]


def _facts(counts: np.ndarray) -> dict:
    """Of a recording with the signs that preprocessing finds in its trials."""
    recording = rec.from_counts(counts, bin_width=0.02)
    recording.attrs["signs"] = signs.to_json(signs.of_trials(recording))
    fold = {"train": [*range(58)], "valid": [58], "test": [59], "guard": [], "units": [*range(4)]}
    return report.facts(recording, {"folds": [fold | {"units_dropped": {}}], "stratified_by": None})


def test_audits_that_could_not_be_tried_have_not_passed():
    said = [
        "0.1 bits on noise",
        "rate: not tried (few trials)",
        "neither wins; so few trials cannot show which",
    ]
    audits = [{"passed": True, "detail": text} for text in said] + [{"passed": False, "detail": "not tried"}]
    assert report._tally(audits) == "1 of 4 passed, 2 could not be tried or show nothing"
    assert report._tally(audits[:1]) == "1 of 1 passed"


def test_claims_on_the_page(table):
    """A line each, of their own recording; what is missing is left out; keys of a study are code."""
    song = claims.Claim(
        "Is <it> so?", "no", "Not so.", "rate", -0.5, -0.9, -0.1, "nats", "t test", 0.0002, 0.4
    )
    open_ = claims.Claim("And chaotic?", "not asked", "No claim.", "rate", settle="`members: 5`")
    rows = [{"dataset": "song"} | dataclasses.asdict(c) for c in (song, open_)]
    page = _page(table, lines=pd.DataFrame(rows, columns=claims.COLUMNS).assign(smallest_p=0.0002))
    assert page.count("Which claim may I make?") == 1 and "&lt;it&gt;" in page
    found = next(rows for rows in _tables(page) if rows and rows[0][0] == "question")
    assert found[1][1:3] == ["no", "Not so."]
    assert (
        found[1][3].startswith("-0.50 [-0.90, -0.10] nats; p ≤ 0.0002; detectable 0.40")
        and "t test" in found[1][3]
    )
    assert found[2][1] == "not asked" and "To settle it: members: 5" in found[2][2] and found[2][3] == "–"
    assert "<code>members: 5</code>" in page
    assert "Which claim may I make?" not in _page(table)


def _comparisons(page: str) -> list[list[list[str]]]:
    return [rows for rows in _tables(page) if rows and rows[0][0] == "model"]


def test_the_comparison_on_the_page(page):
    ring, song, wave = _comparisons(page)
    assert [row[0] for row in ring[1:]] == [
        "lstm (averaged)", "psth", "rate", "lstm", "markov_order2", "null"
    ]  # fmt: skip
    assert _named(ring)["rate"] == [
        ("model", "rate"), ("bits/spike", "+0.228 [0.191, 0.259]"), ("mean-rate", "+0.206"),
        ("bits/s", "2.3"),
        ("over best chain", "+0.115 [0.088, 0.147]"), ("p (Holm)", "0.0006"),
        ("detectable over chain", "0.042"),
        ("over best non-network", "-0.124 [-0.157, -0.083]"), ("p (Holm)", "0.0008"),
        ("detectable over non-network", "0.057"), ("member sd", "0.0057"), ("members", "3"),
        ("parameters", "131"), ("settings", "1"),
    ]  # fmt: skip
    assert ring[1][1].startswith("+0.402") and ring[1][5] == "–"  # averaged members stand in no test
    assert ring[4][5] == "0.063" and ring[4][8] == "0.0007"  # the lstm's adjusted p, not 0.021 and 0.0005
    assert _named(ring)["psth"][5] == ("p (Holm)", "–")
    assert _named(ring)["psth"][4][1].startswith("+0.239")
    assert _named(song)["rate"][:5] == [
        ("model", "rate"), ("bits/symbol", "+0.534 [0.497, 0.572]"), ("loss", "1.051"),
        ("over best chain", "-0.087 [-0.125, -0.043]"), ("p (Holm)", "0.0022"),
    ]  # fmt: skip
    assert _named(wave)["rate"][:4] == [
        ("model", "rate"), ("nats/sample", "+0.725 [0.659, 0.794]"),
        ("over best chain", "+0.007 [-0.009, 0.019]"), ("p (Holm)", "0.82"),
    ]  # fmt: skip
    assert _named(ring)["null"][1] == ("bits/spike", "0.000 [0.000, 0.000]")  # no sign of nothing


def test_a_network_that_learned_nothing_is_dissected_under_a_banner(table, page):
    """The page of the table as it is has none; with kept weights of epoch 2 the network's dynamics have one."""
    assert "rate is not shown to predict better" not in _plain(page)
    changed = table.copy()
    changed.loc[(table["dataset"] == "ring") & (table["model"] == "rate"), "learning"] = "learned nothing"
    banner = "rate is not shown to predict better than a constant, or the weights kept are of its first three"
    text = _plain(_page(changed))
    assert banner in text and "rate is not shown to predict this recording better" in text
    rows = next(rows for rows in _tables(_page(changed)) if rows and rows[0][0] == "quantity")[1:]
    assert {(row[6], row[9]) for row in rows} == {("the network learned nothing", "")}


def test_the_words_of_the_page(page, table):
    text = _plain(page)
    assert (
        "3 recordings, 2 folds, 3 random restarts (members) of every model that has any, seed 4, burn-in 5 bins."
        in text
    )
    assert "“≤” marks the smallest p that the test can give" in text
    for line in words.summary(table):
        assert line in text
    verdicts = "".join(
        re.findall(r'<ul class="soft">(.*?)</ul>', page[: page.index('id="methods"')], re.DOTALL)
    )
    listed = [_plain(item) for item in re.findall(r"<li>(.*?)</li>", verdicts)]
    networks = table[(table["role"] == "recurrent") & ~table["averaged"].astype(bool)]
    assert set(listed) == set(networks["verdict"])  # all differ here; averaged members are no models
    assert "on 31 test trials with 407 spikes, in bits/spike over the null" in text
    assert "on 17 test trials with 211 symbols, in bits/symbol over the null" in text
    assert "on 36 test trials with 96 samples, in nats/sample over the null" in text
    assert "random restarts (gains over the best chain in 12 independent blocks of 3 trials)" in text
    assert "conditional on it" not in text and "conditional on it" not in printed.text(table)  # two folds
    one = _plain(_page(table, folds=1))
    assert (
        one.count("conditional on it") == 1 == printed.text(table.assign(folds=1)).count("conditional on it")
    )
    assert (
        "The best Markov chain on validation trials is markov_order2. The best model that is no network (chain, "
        "HMM, regression or floor) is psth." in text
    )
    assert (
        "The exact filter of the generator reaches 0.640, its true rates, which past spikes cannot reveal, "
        "0.830" in text
    )
    assert text.count("The exact filter of the generator") == 1


def test_other_tables_of_the_page(page):
    tables = _tables(page)
    costs = [rows for rows in tables if rows and rows[0][0] == "variant"]
    assert costs[0][1:] == [["rate", "0", "12.3", "310", "cpu"], ["rate", "1", "15.7", "322", "cuda"]]
    assert costs[1][1:] == [["rate", "0", "1.9", "99", "cpu"]] and costs[2][1:] == []
    smoothed = next(rows for rows in tables if rows[0][0] == "smoother")
    assert smoothed[1] == ["hmm", "1", "+0.271", "+0.244", "[+0.233, +0.255]"]
    assert "Held-out units (2) predicted in every bin from the held-in ones (6)" in _plain(page)
    dynamics = next(rows for rows in tables if rows[0][0] == "quantity")
    assert dynamics[1:] == [
        "participation ratio||open|3.4|[2.9, 4.1]calibrated by 20 refits|0.5|identifiable|1.2|1.5|learned".split(
            "|"
        ),
        "largest exponent|nats/bin|closed|-0.125||0.031|not identifiable|-0.120|–|as untrained".split("|"),
    ]
    assert 'title="members: 3.1 3.7"' in page and "rate, 2 members" in _plain(page)
    audits = next(rows for rows in tables if rows[0][0] == "audit")
    assert [row[1] for row in audits[1:]] == ["passed", "warning", "FAILED"]
    assert "1 of 3 passed; canary: 0.4 bits too good; causality: sees bin 7" in _plain(page)


def test_every_recording_has_its_own_figures_and_facts(page):
    parts = {name: page[page.index(f'<h2 id="{name}" ') :] for name in ("ring", "song", "wave")}
    song = parts["song"][: parts["song"].index('<h2 id="wave" ')]
    ring = parts["ring"][: parts["ring"].index('<h2 id="song" ')]
    assert "trials of song" in song and "trials of ring" in ring and "trials of ring" not in song
    assert "of <code>song</code></figcaption>" in song  # no raw backquotes
    assert 'id="figure-trial_song"' in song and "<svg" not in ring
    assert page.index('id="figure-scores"') > page.index('<h2 id="wave" ')  # of all recordings: behind them


def test_facts_of_a_recording():
    """Rates in Hz of the units that are kept, trials by role, and what was dropped."""
    counts = np.zeros((10, 20, 3), int)
    counts[..., 0] = 1
    counts[:, ::2, 1] = 3
    counts[..., 2] = 7  # a unit that is dropped
    recording = rec.from_counts(counts, bin_width=0.01, dirt={"spikes_outside_window": 4})
    fold = {"train": [*range(6)], "valid": [6], "test": [7, 8, 9], "guard": [], "units": [0, 1]}
    fold["units_dropped"] = {"silent": 0, "slow": 0, "above_max_rate": 1}
    manifest = {"folds": [fold, fold], "stratified_by": "cue"}
    rows = report.facts(recording, manifest)
    assert rows["kind"] == "spike counts" and rows["trials"] == "10 trials of 20 bins"
    assert rows["roles"] == "6 train, 1 valid, 3 test, stratified by cue; fold 1 of 2"
    assert rows["bin"] == "10 ms, 2 s in all"
    assert rows["units"] == "2, 100.0 to 150.0 Hz (median 125.0)"
    assert rows["units dropped"] == "1 above max rate" and rows["dirt"] == "4 spikes outside window"


def test_facts_of_symbols_and_signals():
    fold = {"train": [0], "valid": [1], "test": [2], "guard": []}
    symbols = rec.from_symbols([np.array([0, 1, 1]), np.array([2, 0]), np.array([1, 2, 0, 1])], n_symbols=3)
    rows = report.facts(symbols, {"folds": [fold], "stratified_by": None})
    assert rows["trials"] == "3 trials of 2 to 4 symbols" and rows["symbols"] == "9 in all"
    assert rows["alphabet"].startswith("3 symbols: ") and rows["roles"] == "1 train, 1 valid, 1 test"
    signal = rec.from_signal(np.random.default_rng(0).normal(size=(3, 5, 4)), bin_width=0.1)
    fold |= {"channels": [0, 1, 3], "channels_dropped": {"constant": 1}}
    rows = report.facts(signal, {"folds": [fold], "stratified_by": None})
    assert rows["channels"] == "3 (1 constant one dropped)" and rows["bin"] == "100 ms, 2 s in all"


def test_theory_page_shows_predicted_and_measured_in_their_columns():
    template = TEMPLATE.with_name("theory.html.jinja")
    checks = pd.DataFrame(
        [
            ("order of the rule", 1.25, 0.98, 0.9, 1.1, "", "finite size", True),
            ("threshold", 2.5, 2.75, 1.8, 2.2, "", "", False),
        ],
        columns="what predicted measured low high row note holds".split(),
    )
    sections = [{"name": "euler", "claim": "It is so.", "checks": checks, "svg": SVG}]
    page = report.theory(template, "hand", sections)
    rows = _tables(page)[0]
    assert "1 of 2 checks hold" in _plain(page) and "It is so." in _plain(page)
    for row, name in zip(rows[1:], ("order of the rule", "threshold"), strict=True):
        cells = dict(zip(rows[0], row, strict=True))
        assert name in row[0]
        assert cells["predicted"].startswith({"order of the rule": "1.25", "threshold": "2.5"}[name])
        assert cells["must lie in"] == {"order": "0.9000 … 1.1000", "thres": "1.8000 … 2.2000"}[name[:5]]
        assert cells["holds"] == {"order": "yes", "thres": "NO"}[name[:5]]
        assert cells["measured"].startswith({"order of the rule": "0.98", "threshold": "2.75"}[name])


def test_the_fit_that_is_told_is_that_of_the_network_best_on_validation(table):
    rows = table[(table["dataset"] == "ring") & ~table["averaged"].astype(bool)]
    names = dict(zip(rows["model"], rows["variant"], strict=True))
    assert rows.loc[rows["model"] == "rate", "value"].item() != rows["value"].max()
    quality = pd.concat(
        pd.DataFrame({"quantity": ["ks", "dispersion"], "value": spread, "p": 0.5}).assign(model=model)
        for model, spread in zip(names, np.arange(1.0, 9), strict=False)
    )
    said = " ".join(report.remarks(rows, "poisson", [], [quality], names["rate"].split("/")[0]))
    spread = quality.loc[quality["model"] == "rate", "value"].iloc[0]
    assert (
        "that rate predicts is shown to be wrong for 0 of 1 units" in said
        and f"vary {spread:.2f} times" in said
    )
    assert "wrong for" not in " ".join(report.remarks(rows, "poisson", [], [quality], ""))
