"""Methods in a study's own numbers, from tables written by hand."""

import pandas as pd
import pytest
from handmade import comparison

from cortseq.scoring import methods

FACTS = {
    "kind": "spike counts",
    "trials": "300 of 60 bins",
    "units": "60, 10.8 to 12.2 Hz",
    "bin": "20 ms, 360 s in all",
    "roles": "195 train, 45 valid, 60 test",
    "observation": "poisson",
}
STUDY = {"folds": 1, "epochs": {"rate": 120, "lstm": 60}}


@pytest.fixture
def rows():
    table = comparison()
    return table[table["dataset"] == "ring"]


def _variants() -> pd.DataFrame:
    columns = "dataset model variant chosen folds_chosen share_chosen states order".split()
    swept = [("ring", "markov", f"m{s}{o}", True, 1, 1, s, o) for s in (16.0, 32.0) for o in (1.0, 2.0)]
    return pd.DataFrame([("ring", "rate", "rate", True, 1, 1, None, None), *swept], columns=columns)


def test_each_sentence_has_the_numbers_of_its_table(rows):
    recording, chosen, networks, tests = methods.sentences(FACTS, rows, _variants(), STUDY, 6)
    assert recording == (
        "Recording: spike counts; 300 of 60 bins; units 60, 10.8 to 12.2 Hz; bin 20 ms, 360 s in all; trials by "
        "role: 195 train, 45 valid, 60 test. Distribution of a bin: poisson."
    )
    assert chosen.startswith("2 models in 5 variants, the null among them. Chosen on validation trials: ")
    assert "markov from 4 (states 16, 32; order 1, 2)" in chosen
    members = int(rows.loc[rows["model"] == "rate", "members"].iloc[0])
    assert f"fitted from {members} random start" in networks and "on one split" in networks
    assert "60 (lstm); 120 (rate)" in networks
    assert "the best Markov chain (markov_order2) and the best model that is no network (psth)" in tests
    assert f"on {rows['trials'].iloc[0]} test trials" in tests and "over 6 networks" in tests


def test_folds_and_models_without_epochs_or_networks(rows):
    many = methods.sentences(FACTS, rows, _variants(), {"folds": 5, "epochs": {}}, 6)[2]
    assert "on each of 5 folds" in many and "Gradient descent" not in many
    alone = rows[rows["role"] != "recurrent"]
    assert all(", fitted from" not in said for said in methods.sentences(FACTS, alone, _variants(), STUDY, 0))
    assert len(methods.sentences(FACTS, alone, _variants(), STUDY, 0)) == 2
