"""What inputs and history explain: differences of four corners, chosen on validation, and their sentence."""

import numpy as np
import pandas as pd
import pytest

from cortseq.figures import corners as figure
from cortseq.observations.tracks import TRACKS
from cortseq.scoring import corners, notes
from cortseq.scoring.rows import References
from cortseq.scoring.scored import Scored

N, EVENTS = 60, 50.0


def scored(name, family, gain, valid=None, n_inputs=0, members=1, **spec):
    """A variant whose trials lie `gain` nats per event above 0, with a little noise of its own."""
    rng = np.random.default_rng(sum(map(ord, name)))
    noise = rng.normal(0, 0.2, (members, N))
    nats = gain * EVENTS + noise - noise.mean(1, keepdims=True)
    card = {"model": {"family": family, **spec}, "role": "baseline", "n_inputs": n_inputs}
    known = np.full((members, 10), EVENTS * (gain if valid is None else valid))
    events = np.full(N, EVENTS)
    return [Scored(name, name, card, test=nats, valid=known, test_events=events, valid_events=events[:10])]


def given(null):
    return References(null, None, None, {}, TRACKS["signal"], 0.1, 0, {}, 0.01, 1000)


@pytest.fixture(scope="module")
def four():
    null = scored("null", "null", 0.0)
    return [
        null,
        scored("psth", "psth", 0.05),
        scored("stimulus", "psth", 0.10, n_inputs=1),
        scored("past", "rate", 0.20, members=3),
        scored("worse", "rate", 0.30, valid=0.10),  # better on test, which nobody may know
        scored("both", "rate", 0.26, n_inputs=1, members=3),
    ]


def test_differences_of_the_corners(four):
    found = corners.table([r | {"dataset": "d"} for r in corners.rows(four, given(four[0][0]))])
    value = dict(zip(found["what"], found["value"], strict=True))
    expected = {
        "inputs": 0.10, "history": 0.20, "both": 0.26, "inputs given history": 0.06,
        "history given inputs": 0.16, "shared": 0.04,
    }  # fmt: skip
    assert value == pytest.approx(expected, abs=1e-9)
    assert ((found["low"] < found["value"]) & (found["value"] < found["high"])).all()
    assert found.set_index("what").loc["both", "variant"] == "both"
    assert found.set_index("what").loc["inputs given history", "over"] == "past"
    assert list(found.columns) == corners.COLUMNS


def test_without_one_of_the_corners_there_are_none(four):
    assert corners.rows(four[:-1], given(four[0][0])) == []
    assert corners.table([]).empty and corners.sentence(corners.table([])) == ""


@pytest.mark.parametrize(
    "low, high, p, said",
    [
        (0.02, 0.04, 0.001, "Given the past, inputs add 0.030 [0.020, 0.040] (both less past)."),
        (
            -0.01,
            0.07,
            0.2,
            "Given the past, inputs are not shown to add anything (0.030 [-0.010, 0.070], both less past).",
        ),
        (
            0.01,
            0.05,
            0.06,
            "Given the past, inputs are not shown to add anything (0.030 [0.010, 0.050], both less past).",
        ),
    ],
)
def test_only_what_is_shown_to_add_is_said_to_add(four, low, high, p, said):
    found = corners.table([r | {"dataset": "d"} for r in corners.rows(four, given(four[0][0]))])
    at = found["what"] == "inputs given history"
    found.loc[at, ["value", "low", "high", "p_value"]] = 0.03, low, high, p
    text = corners.sentence(found)
    assert said in text and "Inputs alone (stimulus) explain 0.1000 [0.09" in text
    assert "Given the inputs, the past adds 0.1600 [0.15" in text


def test_a_loss_is_called_a_cost(four):
    found = corners.table([r | {"dataset": "d"} for r in corners.rows(four, given(four[0][0]))])
    at = found["what"] == "history given inputs"
    found.loc[at, ["value", "low", "high", "p_value"]] = -0.03, -0.04, -0.02, 0.001
    assert "Given the inputs, the past costs -0.030" in corners.sentence(found)


@pytest.mark.parametrize(
    "members, said", [(2, "without a verdict (too few restarts)"), (3, "inputs add 0.060")]
)
def test_two_members_of_a_network_show_nothing(four, members, said):
    both = scored("both", "rate", 0.26, n_inputs=1, members=members)
    both[0].card["role"] = "recurrent"
    found = corners.table([r | {"dataset": "d"} for r in corners.rows([*four[:-1], both], given(four[0][0]))])
    assert said in corners.sentence(found)


def test_the_figure_shows_every_corner(four):
    found = corners.table([r | {"dataset": "d"} for r in corners.rows(four, given(four[0][0]))])
    fig, shown = figure.draw(found)
    ax = fig.axes[0]
    dots = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert sorted(dots) == pytest.approx(sorted(found["value"]))
    assert [t.get_text() for t in ax.get_yticklabels()][-1] == "inputs alone"
    assert isinstance(shown, pd.DataFrame) and len(shown) == 6


def test_models_that_do_not_see_the_inputs_are_named():
    frame = pd.DataFrame(
        [
            ("null", "null", "", False),
            ("markov", "markov", "", False),
            ("psth", "baseline", "side", False),
            ("rate", "recurrent", "inputs", False),
            ("rate_averaged", "recurrent", "inputs", True),
            ("glm_blind", "baseline", np.nan, False),
        ],
        columns=["variant", "role", "knows", "averaged"],
    )
    (said,) = notes.unseeing(frame)
    assert "These do not: markov, psth, glm_blind. " in said
    assert notes.unseeing(frame[frame["knows"] != "inputs"]) == []
    (more,) = notes.unequal(frame)
    assert more.startswith("psth knows more of each trial than the networks: side.")
    assert notes.known({"n_inputs": 2, "chosen": {"conditions": ["side"]}}) == "side, inputs"
