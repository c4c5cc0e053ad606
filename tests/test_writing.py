"""Files that appear whole, bytes that depend on the content only, fingerprints that miss nothing, studies in order."""

import json
import time

import numpy as np
import pandas as pd
import pytest

from cortseq import fingerprint, store, study


def test_no_reader_sees_half_a_file(tmp_path):
    """While a file is written the old one is there; when writing fails it stays, and nothing else does."""
    target = tmp_path / "a.txt"
    store.write_text("old", target)
    with store.atomic(target) as temporary:
        temporary.write_text("half")
        assert target.read_text() == "old" and temporary != target
    assert target.read_text() == "half"
    with pytest.raises(KeyError), store.atomic(target) as temporary:
        temporary.write_text("broken")
        raise KeyError
    assert target.read_text() == "half" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_the_bytes_of_an_archive_do_not_depend_on_the_clock(tmp_path, counts, monkeypatch):
    store.write(counts, tmp_path / "a.zarr.zip")
    time.sleep(2.1)  # dates in archives are even seconds
    store.write(counts, tmp_path / "b.zarr.zip")
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()


def test_the_bytes_of_json_do_not_depend_on_the_order_of_keys(tmp_path):
    store.write_json({"b": 1, "a": {"d": 2, "c": np.arange(3)}}, tmp_path / "1.json")
    store.write_json({"a": {"c": np.arange(3), "d": 2}, "b": 1}, tmp_path / "2.json")
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()
    assert json.loads((tmp_path / "1.json").read_text())["a"]["c"] == [0, 1, 2]


def test_tables_keep_nine_digits(tmp_path):
    store.write_table(pd.DataFrame({"value": [1 / 3, 123456.789]}), tmp_path / "t.csv")
    assert store.read_table(tmp_path / "t.csv")["value"].tolist() == [0.333333333, 123456.789]


def test_every_way_to_import_is_followed():
    import ast

    code = """
import cortseq.store
from cortseq import recording
from cortseq.models.chains import chain

def later():
    from cortseq.networks.families.rate import leaky
"""
    found = fingerprint._imports(fingerprint._syntax(ast.parse(code)))
    assert {
        "cortseq.store",
        "cortseq.recording",
        "cortseq.models.chains.chain",
        "cortseq.networks.families.rate",
    } <= found


@pytest.mark.parametrize("changed", ["markov", "chain", "counts", "negative_binomial"])
def test_a_fingerprint_changes_with_what_is_imported_far_below(changed, monkeypatch):
    before = fingerprint.fingerprint("cortseq.models.chains.markov")
    read = fingerprint._read

    def other(name):
        digest, imported = read(name)
        return (
            "changed" if name.startswith("cortseq.") and name.endswith(f".{changed}") else digest
        ), imported

    monkeypatch.setattr(fingerprint, "_read", other)
    assert fingerprint.fingerprint("cortseq.models.chains.markov") != before


RING = {"source": "synthetic", "kind": "ring", "trials": 60}


def test_sessions_are_learned_in_the_order_of_the_sequence():
    datasets = {
        name: {**RING, "part": part} for name, part in (("x", [0, 0.3]), ("y", [0.3, 0.6]), ("z", [0.6, 1]))
    }
    found = study.validate({"datasets": datasets, "sequence": ["y", "z", "x"]})
    assert [found.before(name) for name in ("y", "z", "x")] == [None, "y", "z"]


def test_folds_must_leave_trials_to_train_on():
    """Half of the trials are test trials of two folds, and another half validation trials."""
    from cortseq.errors import CortseqError

    with pytest.raises(CortseqError, match="too few to train on"):
        study.validate({"datasets": {"x": RING}, "folds": 2, "valid_fraction": 0.5, "test_fraction": 0.2})
    assert study.validate({"datasets": {"x": RING}, "folds": 10, "valid_fraction": 0.2, "test_fraction": 0.8})


def test_points_of_a_sweep_have_names_of_their_own():
    entry = {"family": "markov", "states": [4, 8], "order": [1, 2]}
    names = set(study.validate({"datasets": {"x": RING}, "models": {"m": entry}}).variants("counts"))
    assert names == {"null", "m_states4_order1", "m_states4_order2", "m_states8_order1", "m_states8_order2"}
