"""Every Python block of docs/python.md runs, from top to bottom, and says what the page says it does."""

import re
from pathlib import Path

import numpy as np
import pytest

from cortseq import cli, models, plugins

PAGE = (Path(__file__).parents[1] / "docs/python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def clean(monkeypatch, tmp_path):
    """A folder of its own, and a registry that forgets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(plugins.VARIABLE, "")
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(models._outside, "_classes", {})


def test_every_block_runs(clean, capsys):
    for package in ("pynapple", "pynwb"):
        pytest.importorskip(package)
    known = {"__name__": "page"}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"docs/python.md, block {number + 1}", "exec"), known)
    assert len(BLOCKS) >= 12
    fit, session, test = known["fit"], known["session"], known["test"]
    assert known["gain"] == fit.score(session) and known["nats"].shape == (2, 15, 30)
    assert known["b1"].dims == ("trial", "time") and known["states"].shape == (2, 15, 30, 8)
    assert "hmm" in capsys.readouterr().out and known["best"] in ("hmm_0", "hmm_1")
    assert known["chosen"].model.states in (2, 4) and known["gain_of_chosen"] > 0.1
    assert known["gain_further"] > fit.only(0).score(session, test)
    predicted = fit.predict(session, range(35)).values[0]
    np.testing.assert_allclose(known["found"]["mean"].detach(), predicted, rtol=1e-4, atol=1e-6)
    assert np.array_equal(known["again"].predict(session).values, known["own"].predict(session).values)
    assert np.array_equal(known["session_again"]["counts"].values, session["counts"].values)
    assert known["value"] > 0.1 and len(known["exponents"]) == 2
    written = {path.name for path in Path().iterdir()}
    assert {
        "curves.pdf",
        "trial.pdf",
        "ladder.pdf",
        "points.pdf",
        "predicted.nwb",
        "submission.h5",
    } <= written


def test_the_cell_of_the_page_is_a_family_of_studies(clean, capsys):
    (cell,) = [block for block in BLOCKS if "class TwoSpeeds" in block]
    Path("mycell.py").write_text(cell)
    Path("my_study.yaml").write_text(
        "datasets: {ring: {source: synthetic, kind: ring, trials: 40, units: 4, bins: 12}}\n"
        "models: {own: {family: two_speeds, hidden: [4, 8], slow: 0.2}}\n"
    )
    assert cli.main(["check", "my_study.yaml"]) == 2 and "two_speeds" in capsys.readouterr().err
    assert cli.main(["check", "my_study.yaml", "--plugin", "mycell.py"]) == 0
    assert models.find("two_speeds")(slow=0.3).slow == 0.3
