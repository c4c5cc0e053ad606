"""Sentences, tables of the terminal and of the page, from comparisons written by hand."""

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade import comparison

from cortseq import cli, report, store
from cortseq import recording as rec
from cortseq.scoring import words

TEMPLATE = Path(__file__).parents[2] / "workflow/report/report.html.jinja"


@pytest.fixture(scope="module")
def table():
    frame = comparison()
    return frame.assign(verdict=[words.verdict(row) for row in frame.to_dict("records")])


def _verdict(table: pd.DataFrame, dataset: str, model: str, **changes) -> str:
    row = table.set_index(["dataset", "model"]).loc[(dataset, model)].to_dict()
    return words.verdict(row | changes)


# -- sentences -------------------------------------------------------------------------------------


def test_a_sentence_for_every_model(table):
    said = table.set_index(["dataset", "model"])["verdict"]
    assert said["ring", "null"] == "null is the zero of the scale."
    assert said["ring", "psth"] == "psth predicts better than a constant (+0.352 bits/spike)."
    assert said["ring", "rate"] == (
        "rate predicts better than a constant (+0.228 bits/spike), and better than the best chain "
        "markov_order2 "
        "by 0.115 bits/spike (p = 0.0006, Holm)."
    )
    # before the adjustment p is 0.021, after it 0.063: nothing is shown
    assert said["ring", "lstm"] == (
        "lstm predicts better than a constant (+0.141 bits/spike); a difference from the best chain "
        "markov_order2 is "
        "not shown (+0.028 bits/spike, p = 0.063, Holm; 0.037 could have been detected)."
    )
    assert said["song", "rate"] == (
        "rate predicts better than a constant (+0.534 bits/symbol), but worse than the best chain "
        "markov by 0.087 "
        "bits/symbol (p = 0.0022, Holm)."
    )
    assert said["wave", "rate"] == (
        "rate predicts better than a constant (+0.725 nats/sample), and as well as the best chain markov "
        "(+0.007 nats/sample, within 0.02: p = 0.032)."
    )
    assert said["ring", "lstm_averaged"] == (
        "lstm_averaged: the members' mean prediction, +0.402 bits/spike; no model of its own."
    )


def test_sentences_follow_the_interval_and_the_adjusted_p(table):
    assert "does not predict better than a constant (+0.228" in _verdict(table, "ring", "rate", low=-0.01)
    # the interval decides with p, not the estimate alone
    for change in ({"gain_low": -0.001}, {"p_holm": 0.051}):
        assert "is not shown (+0.115 bits/spike, p = " in _verdict(table, "ring", "rate", **change)
    for change in ({"gain_high": 0.001}, {"p_holm": 0.051}):
        assert "is not shown (-0.087 bits/symbol, p = " in _verdict(table, "song", "rate", **change)
    assert "is not shown" in _verdict(table, "wave", "rate", equivalent=False)


def test_a_sentence_for_every_recording(table):
    """Averaged members are no model; a network that wins only before the adjustment does not count."""
    assert words.summary(table) == [
        "ring: psth scores highest, 0.352 bits/spike over the null, 55 % of what the exact filter reaches; "
        "1 of 2 recurrent models beat the best Markov chain (markov_order2), 0 the best model that is "
        "no network "
        "(psth).",
        "song: markov scores highest, 0.621 bits/symbol over the null; 0 of 1 recurrent models beat the "
        "best Markov "
        "chain (markov).",
        "wave: hmm scores highest, 0.812 nats/sample over the null; 0 of 1 recurrent models beat the "
        "best Markov "
        "chain (markov), 0 the best model that is no network (hmm).",
    ]
    better = table.copy()
    lstm = (better["dataset"] == "ring") & (better["model"] == "lstm")
    better.loc[lstm, ["rival_low", "rival_high", "rival_p_holm"]] = 0.02, 0.09, 0.04
    assert ", 1 the best model that is no network (psth)." in words.summary(better)[0]
    better.loc[lstm, "rival_p_holm"] = 0.06
    assert ", 0 the best model that is no network (psth)." in words.summary(better)[0]


# -- a terminal ------------------------------------------------------------------------------------


def _cells(line: str) -> list[str]:
    """Cells of a line of a table in a terminal: a number with its interval is one."""
    return re.findall(r"[+-]\d\.\d+ \[[^\]]*\]|\S+ \(averaged\)|\S+", line)


def _is_head(line: str, names: list[str]) -> bool:
    return bool(re.fullmatch(r"\s*" + r"\s+".join(map(re.escape, names)) + r"\s*", line))


def test_the_tables_of_a_terminal(table):
    parts = re.split(r"(?m)^(?=(?:ring|song|wave): \d)", words.text(table))
    ring, song, wave = (part for part in parts if re.match(r"(ring|song|wave): \d", part))
    assert ring.splitlines()[0] == "ring: 31 test trials, 407 events; exact filter 0.640; true rates 0.830"
    assert song.splitlines()[0] == "song: 17 test trials, 211 events"
    assert wave.splitlines()[0] == "wave: 12 test windows in 5 blocks, 96 events"
    first, second = (i for i, line in enumerate(ring.splitlines()) if line.strip().startswith("model"))
    rows = [_cells(line) for line in ring.splitlines()[first + 1 : second - 1]]
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
    rate = [_cells(line) for line in ring.splitlines()[second + 1 :] if line.strip().startswith("rate")]
    assert rate == [["rate", "+0.228", "+0.206", "+0.199", "+0.211", "+0.189", "+0.215", "+2.280"]]
    assert "cold start" not in song and re.search(r"rate\s+\+0.534\s+\+0.530\s+\+1.051", song)
    assert re.search(r"rate\s+L7\s+\+0.725 \[\+0.659, \+0.794\].*yes\s+47\s+2", wave)
    assert "(averaged): the members' mean prediction" in words.text(table)


SESSIONS = "metric bin_ms model role sessions value low high gain_over_markov gain_low gain_high p_value"
POOLED = pd.DataFrame(
    [
        ("bits_per_spike", 20.0, "rate", "recurrent", 3, 0.21, 0.14, 0.29, 0.05, -0.02, 0.11, 0.17),
        ("bits_per_spike", 20.0, "psth", "baseline", 3, 0.33, 0.31, 0.36, np.nan, np.nan, np.nan, np.nan),
    ],
    columns=SESSIONS.split(),
)


def test_recordings_pooled_on_a_terminal(table):
    text = words.text(table, POOLED)
    after = text[text.index("Across recordings, each weighing the same:") :]
    assert re.search(
        r"rate\s+bits/spike\s+3\s+\+0\.210 \[\+0\.140, \+0\.290\]\s+\+0\.050 \[-0\.020, \+0\.110\]", after
    )
    assert re.search(r"psth\s+bits/spike\s+3\s+\+0\.330 \[\+0\.310, \+0\.360\]\s*\n", after)


def test_cortseq_show_prints_the_tables_of_the_folder(table, tmp_path, capsys):
    store.write_table(table, tmp_path / "comparison.csv")
    store.write_table(POOLED, tmp_path / "sessions.csv")
    assert cli.main(["show", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert shown == words.text(store.read_table(tmp_path / "comparison.csv"), POOLED) + "\n"
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
    for body in re.findall(r"<table>(.*?)</table>", page, re.DOTALL):
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
        ("participation ratio", np.nan, "open", 3.4, 2.9, 4.1, 0.52, "3.1 3.7", "identifiable", 2),
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
        ),
    ],
    columns="quantity unit map value low high sd each verdict members".split(),
)
SVG = '<?xml version="1.0"?><svg width="10pt" height="20pt"><g id="a"/><use href="#a"/></svg>'


@pytest.fixture(scope="module")
def page(table):
    audits = {
        "audits": [
            {"name": "overlap", "passed": True, "detail": "no trial twice", "stopping": True},
            {"name": "canary", "passed": False, "detail": "0.4 bits too good", "stopping": False},
            {"name": "causality", "passed": False, "detail": "sees bin 7", "stopping": True},
        ]
    }
    figures = [
        {"name": "scores", "title": "Scores", "caption": "of all", "dataset": "", "svg": SVG},
        {"name": "trial_song", "title": "A trial", "caption": "of song", "dataset": "song", "svg": SVG},
    ]
    return report.render(
        TEMPLATE.read_text(),
        {"study": "hand", "seed": 4, "folds": 2, "members": 3, "burn_in": 5},
        table,
        TIMING,
        dict.fromkeys(("ring", "song", "wave"), audits),
        {name: {"trials": f"trials of {name}"} for name in ("ring", "song", "wave")},
        figures,
        {"numpy": "2.1"},
        {"ring": SMOOTHED},
        {"ring": {"rate": DYNAMICS}},
    )


def _comparisons(page: str) -> list[list[list[str]]]:
    return [rows for rows in _tables(page) if rows and rows[0][0] == "model"]


def test_the_comparison_on_the_page(page):
    ring, song, wave = _comparisons(page)
    assert [row[0] for row in ring[1:]] == ["lstm_averaged", "psth", "rate", "lstm", "markov_order2", "null"]
    assert _named(ring)["rate"] == [
        ("model", "rate"), ("bits/spike", "+0.228"), ("95 % interval", "[0.191, 0.259]"), ("bits/s", "2.3"),
        ("over best chain", "+0.115"), ("95 %", "[+0.088, +0.147]"), ("p (Holm)", "0.0006"),
        ("over best non-network", "-0.124"), ("95 %", "[-0.157, -0.083]"), ("p (Holm)", "0.0008"),
        ("detectable", "0.042"), ("member sd", "0.0057"), ("best member", "+0.231"), ("members", "3"),
        ("parameters", "131"), ("settings", "1"),
    ]  # fmt: skip
    assert ring[1][1] == "+0.402" and ring[1][6] == "–"  # averaged members stand in no test
    assert ring[4][6] == "0.0630" and ring[4][9] == "0.0007"  # the lstm's adjusted p, not 0.021 and 0.0005
    assert _named(ring)["psth"][6] == ("p (Holm)", "–") and _named(ring)["psth"][4] == (
        "over best chain",
        "+0.239",
    )
    assert _named(song)["rate"][:7] == [
        ("model", "rate"), ("bits/symbol", "+0.534"), ("95 % interval", "[0.497, 0.572]"), ("loss", "1.051"),
        ("over best chain", "-0.087"), ("95 %", "[-0.125, -0.043]"), ("p (Holm)", "0.0022"),
    ]  # fmt: skip
    assert _named(wave)["rate"][:6] == [
        ("model", "rate"), ("nats/sample", "+0.725"), ("95 % interval", "[0.659, 0.794]"),
        ("over best chain", "+0.007"), ("95 %", "[-0.009, +0.019]"), ("p (Holm)", "0.8200"),
    ]  # fmt: skip


def test_the_words_of_the_page(page, table):
    text = _plain(page)
    assert (
        "3 recordings, 2 folds, 3 random restarts of every model that has any, seed 4, burn-in 5 bins."
        in text
    )
    for line in words.summary(table):
        assert line in text
    listed = [_plain(item) for item in re.findall(r"<li>(.*?)</li>", page)]
    expected = table[table["role"] == "recurrent"].sort_values("value", ascending=False, kind="stable")
    for dataset in ("ring", "song", "wave"):
        assert set(expected[expected["dataset"] == dataset]["verdict"]) <= set(listed)
    assert len(listed) == len(expected)
    assert "on 31 test trials with 407 spikes, in bits/spike over the null" in text
    assert "on 17 test trials with 211 symbols, in bits/symbol over the null" in text
    assert "on 12 test trials with 96 samples, in nats/sample over the null" in text
    assert "from resampling 5 blocks of neighbouring windows and members" in text
    assert text.count("from resampling trials and members") == 2
    chains = "The best Markov chain on validation trials is {}, the best model that is no network"
    assert chains.format("markov_order2") + " (chain, HMM, regression or floor) psth." in text
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
        ["participation ratio", "", "open", "3.400", "[2.900, 4.100]", "0.520", "identifiable"],
        ["largest exponent", "nats/bin", "closed", "-0.125", "", "0.031", "not identifiable"],
    ]
    assert 'title="members: 3.1 3.7"' in page and "rate, 2 members" in _plain(page)
    audits = next(rows for rows in tables if rows[0][0] == "audit")
    assert [row[1] for row in audits[1:]] == ["passed", "warning", "FAILED"]
    assert "1 of 3 passed; canary: 0.4 bits too good; causality: sees bin 7" in _plain(page)


def test_every_recording_has_its_own_figures_and_facts(page):
    parts = {name: page[page.index(f'<h2 id="{name}">') :] for name in ("ring", "song", "wave")}
    song = parts["song"][: parts["song"].index('<h2 id="wave">')]
    ring = parts["ring"][: parts["ring"].index('<h2 id="song">')]
    assert "trials of song" in song and "trials of ring" in ring and "trials of ring" not in song
    assert "trial_song-a" in song and "<svg" not in ring
    assert page.index("scores-a") < page.index('<h2 id="ring">')


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
    assert rows["kind"] == "spike counts" and rows["trials"] == "10 of 20 bins"
    assert rows["roles"] == "6 train, 1 valid, 3 test, stratified by cue; fold 1 of 2"
    assert rows["bin"] == "10 ms, 2 s in all"
    assert rows["units"] == "2, 100.00 to 150.0 Hz (median 125.0)"
    assert rows["units dropped"] == "1 above max rate" and rows["dirt"] == "4 spikes outside window"


def test_facts_of_symbols_and_signals():
    fold = {"train": [0], "valid": [1], "test": [2], "guard": []}
    symbols = rec.from_symbols([np.array([0, 1, 1]), np.array([2, 0]), np.array([1, 2, 0, 1])], n_symbols=3)
    rows = report.facts(symbols, {"folds": [fold], "stratified_by": None})
    assert rows["trials"] == "3 of 2 to 4 symbols" and rows["symbols"] == "9"
    assert rows["labels"].startswith("3: ") and rows["roles"] == "1 train, 1 valid, 1 test"
    signal = rec.from_signal(np.random.default_rng(0).normal(size=(3, 5, 4)), bin_width=0.1)
    fold |= {"channels": [0, 1, 3], "channels_dropped": {"constant": 1}}
    rows = report.facts(signal, {"folds": [fold], "stratified_by": None})
    assert rows["channels"] == "3 (1 constant ones dropped)" and rows["bin"] == "100 ms, 2 s in all"


def test_theory_page_shows_predicted_and_measured_in_their_columns():
    template = TEMPLATE.with_name("theory.html.jinja").read_text()
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
