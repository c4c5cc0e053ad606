"""`cortseq diff` names what was changed between two results folders, and nothing else."""

import pandas as pd
import pytest

from cortseq import cli, differing, store
from cortseq.errors import CortseqError
from cortseq.scoring import failures

ROW = {
    "dataset": "ring", "model": "rate", "averaged": False, "variant": "rate_hidden32", "value": 0.5,
    "gain_over_markov": 0.1, "gain_over_rival": float("nan"), "reference": "markov", "rival": "",
    "against_chain": "better", "against_rival": "", "learning": "learned", "verdict": ".",
}  # fmt: skip
CARD = {
    "model": {"family": "rate", "hidden": 32},
    "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
    "commit": "abc",
    "members": 3,
}


@pytest.fixture
def written(tmp_path):
    def write(name, rows=(ROW,), cards=None):
        folder = tmp_path / name
        folder.mkdir()
        store.write_table(pd.DataFrame(rows), folder / "comparison.csv")
        for variant, card in (cards or {"ring/rate/fold0": CARD}).items():
            file = folder / "fits" / f"{variant}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            store.write_json(card, file)
        return folder

    return write


def test_equal_results_do_not_differ(written, capsys):
    a, b = written("a"), written("b")
    assert differing.lines(a, b) == []
    assert cli.main(["diff", str(a), str(b)]) == 0
    assert "nothing differs" in capsys.readouterr().out


def test_settings_versions_and_code_are_named_once(written):
    other = CARD | {
        "model": {"family": "rate", "hidden": 64},
        "versions": CARD["versions"] | {"torch": "2.14"},
    }
    names = [f"ring/rate/fold{i}" for i in range(5)]
    a, b = written("a", cards=dict.fromkeys(names, CARD)), written("b", cards=dict.fromkeys(names, other))
    assert differing.lines(a, b) == [
        "fits: model.hidden: 32 | 64  (ring/rate/fold0, ring/rate/fold1, ring/rate/fold2 and 2 more)",
        "fits: versions.torch: 2.13.0 | 2.14  (ring/rate/fold0, ring/rate/fold1, ring/rate/fold2 and 2 more)",
    ]


def test_choices_scores_and_missing_models_are_named(written):
    changed = ROW | {"variant": "rate_hidden64", "value": 0.6, "against_chain": "undecided"}
    averaged = ROW | {"model": "rate_averaged", "averaged": True, "value": 9.0}
    a = written("a", rows=[ROW, ROW | {"model": "dale"}])
    b = written("b", rows=[changed, averaged])
    assert differing.lines(a, b) == [
        "models: ring/dale is in the first alone",
        "choices: ring/rate variant: rate_hidden32 | rate_hidden64",
        "choices: ring/rate against_chain: better | undecided",
        "scores: ring/rate value: 0.5 | 0.6  (+0.1)",
    ]
    assert cli.main(["diff", str(a), str(b)]) == 1


def test_a_failed_fit_is_named_with_its_reason(written):
    """Its row in the comparison has no score, beside that of the variant that could be fitted."""
    lost = ROW | {"variant": "rate_hidden9", "value": float("nan"), "verdict": failures.VERDICT + "lower it"}
    a, b = written("a"), written("b", rows=[ROW, lost])
    store.write_failure("lower learning_rate", b / "fits/ring/rate/fold0.json")
    found = differing.lines(a, b)
    assert "fits: failed: not there | lower learning_rate  (ring/rate/fold0)" in found
    assert not any(line.startswith(("scores", "choices")) for line in found)


def test_another_seed_is_named(written):
    a = written("a", cards={"ring/rate/fold0": CARD | {"seed": 1}})
    b = written("b", cards={"ring/rate/fold0": CARD | {"seed": 2}})
    assert differing.lines(a, b) == ["fits: seed: 1 | 2  (ring/rate/fold0)"]


def test_fits_of_one_side_are_named(written):
    a, b = written("a", cards={"ring/rate/fold0": CARD, "ring/esn/fold0": CARD}), written("b")
    assert differing.lines(a, b) == ["fits: ring/esn/fold0 is in the first alone"]


def test_a_folder_without_a_study_says_so(written, tmp_path):
    with pytest.raises(CortseqError, match="no finished study here"):
        differing.lines(written("a"), tmp_path / "nothing")
