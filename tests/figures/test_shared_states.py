"""Sessions that share a cell: alignment of their states, the figure of them, and what it is planned from."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from cortseq import dynamics, products, stages, study
from cortseq.figures import inputs, shared_states

ROOT = Path(__file__).parents[2]


def session(states, extra=0, features=3, seed=0):
    """A dissection with these states (trial, time, dim); `extra` numbers that a skip connection carries."""
    rng = np.random.default_rng(seed)
    carried = rng.normal(0, 9, (*states.shape[:2], extra))
    every = np.concatenate([states, carried], -1)
    every[0, -1] = np.nan  # a missing bin
    points = rng.normal(size=(2, 3, every.shape[-1]))
    points[:, 2] = np.nan
    return xr.Dataset(
        {
            "states": (("trial", "time", "dim"), every),
            "fixed_points": (("member", "point", "dim"), points),
            "stable": (("member", "point"), [[1.0, 0.0, np.nan]] * 2),
            "expected": (("member", "point", "feature"), np.zeros((2, 3, features))),
        }
    )


def test_alignment_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4000, 6)) * [5, 4, 0.01, 0.01, 0.01, 0.01]
    b = rng.normal(size=(3000, 6)) * [4, 5, 0.01, 0.01, 0.01, 0.01]
    c = rng.normal(size=(3000, 6)) * [0.01, 0.01, 5, 4, 0.01, 0.01]
    assert dynamics.alignment(a, b) == pytest.approx(1, abs=1e-3)
    assert dynamics.alignment(a, c) == pytest.approx(0, abs=1e-3)
    assert dynamics.alignment(a, a) == pytest.approx(1)
    line = rng.normal(size=(3000, 6)) * [5, 0.01, 0.01, 0.01, 0.01, 0.01]  # along the second of b
    assert dynamics.alignment(line, a) == pytest.approx(1, abs=0.01)
    assert dynamics.alignment(b, line) == pytest.approx(16 / 25, abs=0.05)
    ball, turned = rng.normal(size=(20_000, 8)), np.linalg.qr(rng.normal(size=(8, 8)))[0]
    narrow = rng.normal(size=(20_000, 8)) * [1, 1, 0, 0, 0, 0, 0, 0] @ turned
    assert dynamics.alignment(ball, narrow) == pytest.approx(1, abs=0.05)  # a ball varies everywhere
    assert np.isnan(dynamics.alignment(np.zeros((9, 3)), a[:, :3]))
    a[5] = np.nan
    assert dynamics.alignment(a, b) == pytest.approx(1, abs=1e-3)


def test_the_figure_has_every_session_and_leaves_out_what_a_skip_carries():
    rng = np.random.default_rng(1)
    planes = [rng.normal(size=(6, 20, 5)) * scale for scale in ([3, 2, 0, 0, 0], [2, 3, 0, 0, 0])]
    sessions = {
        f"s{i}": session(plane, extra=extra, features=extra, seed=i)
        for i, (plane, extra) in enumerate(zip(planes, (3, 4), strict=True))
    }
    cells = shared_states._of_the_cell(sessions)
    assert {x.shape for x in cells.values()} == {(119, 5)}
    fig, table = shared_states.draw({"rate": sessions})
    states = table[table["kind"] == "state"]
    assert states.groupby("session").size().to_dict() == {"s0": 119, "s1": 119}
    # both sessions vary in the first two dimensions, which the plane shows but for its turn
    centre = np.mean([x.mean(0) for x in cells.values()], 0)
    lengths = np.linalg.norm(cells["s0"] - centre, axis=1)
    shown = np.hypot(*states.loc[states["session"] == "s0", ["x", "y"]].to_numpy().T)
    np.testing.assert_allclose(shown, lengths, rtol=1e-6)
    kinds = table.groupby("kind").size()
    assert kinds["stable"] == kinds["unstable"] == 2 and kinds["alignment"] == 4
    aligned = table[table["kind"] == "alignment"].set_index(["session", "other"])["value"]
    assert aligned["s0", "s0"] == pytest.approx(1) and aligned["s0", "s1"] > 0.9
    assert fig.axes[1].texts[0].get_text() == "1.00"
    plt.close(fig)
    fig, table = shared_states.draw({})
    assert table.empty and "no network" in fig.axes[0].texts[0].get_text()
    plt.close(fig)


def test_it_is_drawn_from_the_dynamics_of_every_session():
    ring = {"source": "synthetic", "kind": "ring", "bins": 12, "trials": 24}
    content = {
        "study": "three",
        "datasets": {"s1": ring, "s2": ring, "s3": ring, "alone": ring},
        "together": {"all": {"sessions": ["s1", "s2"], "held_out": ["s3"]}},
        "models": {"across": {"family": "rate", "hidden": 4, "across": "all"}},
    }
    plan = stages.Plan(study.validate(content), ROOT / "workflow/scripts")
    steps = [step for batch in stages.jobs(plan) for step in batch.steps]
    (step,) = [step for step in steps if step.key.get("figure") == "shared_states"]
    wanted = [f"{plan.out}/dynamics/{d}/across/fold0.zarr.zip" for d in ("s1", "s2", "s3")]
    assert step.given["shared_dynamics"] == wanted and set(wanted) <= {f for s in steps for f in s.outputs}
    assert step.params["labels"] == {"shared_dynamics": [["across", d, 0] for d in ("s1", "s2", "s3")]}
    del content["together"], content["models"]["across"]["across"]
    steps = stages.jobs(stages.Plan(study.validate(content), ROOT / "workflow/scripts"))
    assert "shared_states" not in {step.key.get("figure") for batch in steps for step in batch.steps}
    assert products.PATHS["shared_dynamics"] == products.PATHS["dynamics"]


def test_inputs_that_are_drawn_take_turns():
    """Twelve columns of one input leave room for the others."""
    names = [*(f"cue~{i}" for i in range(12)), "speed", "stim"]
    made = {name: {"of": name.split("~")[0]} for name in names}
    one = xr.Dataset(coords={"input": names}, attrs={"inputs": json.dumps(made)})
    assert inputs._shown(one) == [0, 1, 2, 3, 4, 5, 12, 13]
    assert inputs._shown(xr.Dataset(coords={"input": ["a", "b"]})) == [0, 1]
