"""What sessions gain by a cell that they share: which fits are compared, pooled rows, words and the figure."""

import numpy as np
import pandas as pd
import pytest

from cortseq.figures import together as figure
from cortseq.observations.tracks import TRACKS
from cortseq.scoring import sessions, together
from cortseq.scoring.rows import References
from cortseq.scoring.scored import Scored
from cortseq.scoring.statistics import Session, across_sessions, over_sessions
from cortseq.scoring.words import FEW_BLOCKS, FEW_RESTARTS

N, EVENTS, MEMBERS = 40, 30.0, 5


def scored(name, gain, members=MEMBERS, seed=0, **spec):
    rng = np.random.default_rng([seed, *map(ord, name)])
    nats = gain * EVENTS + rng.normal(0, 1.0, (members, N))
    card = {
        "model": {"family": "rate", "hidden": 4, "across": None, "cell": "learned", **spec},
        "role": "recurrent",
    }
    events = np.full(N, EVENTS)
    return [Scored(name, name, card, test=nats, valid=nats, test_events=events, valid_events=events)]


def given():
    return References(scored("null", 0.0)[0], None, None, {}, TRACKS["signal"], 0.1, 0, {}, 0.01, 1000)


OWN, UNTRAINED = {"cell": "learned"}, {"cell": "frozen"}
SHARED = {"across": "animals"}
MOVED = {"across": "animals", "cell": "frozen"}


def session(seed, shared=0.3):
    return [scored("own", 0.2, seed=seed), scored("shared", shared, seed=seed, **SHARED)]


def table():
    found = [
        *together.parts("s1", session(1), given()),
        *together.parts("s2", session(2), given()),
        *together.parts(
            "s3",
            [scored("own", 0.25), scored("none", 0.1, **UNTRAINED), scored("shared", 0.24, **MOVED)],
            given(),
        ),
    ]
    return together.table(found)


def test_where_a_cell_comes_from():
    cells = [together.cell(s) for s in ({}, OWN, UNTRAINED, SHARED, MOVED)]
    assert cells == ["own", "own", "untrained", "shared", "moved"]


def test_a_variant_is_held_against_its_twins_alone():
    """Another size is no twin, nor is a shared cell beside an untrained one."""
    others = [scored("big", 0.5, hidden=9), scored("none", 0.1, **UNTRAINED)]
    found = together.parts("s1", [*session(1), *others], given())
    assert [(f["variant"], f["over"]) for f in found] == [("shared", "own")]
    moved = [scored("own", 0.2), scored("none", 0.1, **UNTRAINED), scored("shared", 0.2, **MOVED)]
    found = together.parts("s3", moved, given())
    assert [(f["over"], f["what"]) for f in found] == [
        ("own", together.WHAT["moved", "own"]),
        ("none", together.WHAT["moved", "untrained"]),
    ]


def test_rows_of_sessions_and_of_all():
    found = table()
    rows = found[found["what"] == together.WHAT["shared", "own"]].set_index("dataset")
    assert list(rows.index) == ["s1", "s2", together.THESE, together.OTHERS]
    each = [Session(session(k)[1][0].test, session(k)[0][0].test, np.full(N, EVENTS)) for k in (1, 2)]
    assert rows.loc["s1", "value"] == pytest.approx(0.1, abs=0.03)
    for name, pooled in ((together.THESE, over_sessions(each)), (together.OTHERS, across_sessions(each))):
        expected = (pooled.estimate, pooled.low, pooled.high, pooled.p_value)
        assert tuple(rows.loc[name, ["value", "low", "high", "p_value"]]) == pytest.approx(expected)
        assert rows.loc[name, "sessions"] == 2
    assert rows.loc[together.THESE, "value"] == pytest.approx(rows.loc[["s1", "s2"], "value"].mean())
    alone = found[found["what"] != together.WHAT["shared", "own"]]
    assert set(alone["dataset"]) == {"s3"}  # one session is not pooled


def test_too_few_restarts_or_blocks_are_said():
    few = together.parts("s1", [scored("own", 0.2, 2), scored("shared", 0.3, 2, **SHARED)], given())
    assert few[0]["few"] == FEW_RESTARTS
    pooled = together.table(few + together.parts("s2", session(2), given()))
    assert pooled.set_index("dataset").loc[together.THESE, "few"] == FEW_RESTARTS
    short = [
        [s.__class__(**{**vars(s), "test": s.test[:, :3], "test_events": s.test_events[:3]}) for s in one]
        for one in session(1)
    ]
    assert together.parts("s1", short, given())[0]["few"] == FEW_BLOCKS


def test_restarts_that_failed_leave_as_many_of_both():
    found = together.parts("s1", [scored("own", 0.2, 5), scored("shared", 0.3, 4, **SHARED)], given())
    pooled = together.table(found + together.parts("s2", session(2), given()))
    assert np.isfinite(pooled["value"]).all()


@pytest.mark.parametrize(
    "change, words",
    [
        ({}, "Against own with a cell of its own it is better by 0.100 [0.050, 0.150] bits/spike."),
        ({"value": -0.1, "low": -0.15, "high": -0.05}, "is worse by 0.100 [0.050, 0.150]"),
        ({"p_value": 0.2}, "is not shown to be better or worse (0.100 [0.050, 0.150] bits/spike)"),
        ({"few": FEW_BLOCKS}, f"without a verdict ({FEW_BLOCKS})"),
        (
            {"what": together.WHAT["moved", "untrained"]},
            "has a cell learned on other sessions. Against own with a cell that was never learned",
        ),
    ],
)
def test_sentences(change, words):
    row = {
        "group": "animals", "what": together.WHAT["shared", "own"], "dataset": "s1", "value": 0.1, "low": 0.05,
        "high": 0.15, "p_value": 0.01, "sessions": 1, "blocks": 20, "few": "", "unit": "bits/spike",
        "variant": "shared", "over": "own",
    }  # fmt: skip
    found = together.sentences(pd.DataFrame([row | change, row | {"dataset": "s2"}]), "s1")
    assert len(found) == 1 and words in found[0]


def test_the_figure_draws_every_row_in_its_place():
    found = table()
    fig, drawn = figure.draw(found)
    assert drawn.equals(found)
    panels = list(found.groupby(["group", "variant", "over", "what"], sort=False))
    assert len(fig.axes) == len(panels) == 3
    for ax, (_, rows) in zip(fig.axes, panels, strict=True):
        labels = [text.get_text() for text in ax.get_yticklabels()]
        assert labels == list(rows["dataset"][::-1])
        bars = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() == "None"]
        spans = {tuple(line.get_ydata()): tuple(line.get_xdata()) for line in bars}
        for y, row in enumerate(rows.iloc[::-1].to_dict("records")):
            assert spans[y, y] == (row["low"], row["high"])


def test_a_study_without_twins_has_an_empty_table_and_a_figure_that_says_so():
    found = together.table(together.parts("s1", [scored("shared", 0.3, **SHARED)], given()))
    assert found.empty and list(found.columns) == together.COLUMNS
    fig, _ = figure.draw(found)
    assert any("no model across sessions" in text.get_text() for ax in fig.axes for text in ax.texts)


def test_a_moved_cell_is_pooled_apart():
    """It is another model than on the sessions from which it was learned."""
    pooled = [
        sessions.session(f"s{i}", scored("shared", 0.3, seed=i, **spec)[0], given())
        for i, spec in enumerate([SHARED, SHARED, MOVED])
    ]
    found = sessions.sessions(pooled)
    assert found[["model", "sessions"]].values.tolist() == [["shared", 2]]
    assert pooled[2]["model"] == "shared (moved)"
