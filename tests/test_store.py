"""Products: deterministic, whole or absent."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cortseq import store
from cortseq.errors import CortseqError


def test_recordings_come_back_as_they_were(tmp_path, any_recording):
    named = any_recording.assign_coords(
        area=(
            "trial",
            np.array(["VISp", "MOs"] * any_recording.sizes["trial"])[: any_recording.sizes["trial"]],
        )
    )
    store.write(named, tmp_path / "r.zarr.zip")
    xr.testing.assert_identical(store.read(tmp_path / "r.zarr.zip"), named)


def test_bytes_depend_on_the_content_only(tmp_path, counts):
    store.write(counts, tmp_path / "a.zarr.zip")
    store.write(store.read(tmp_path / "a.zarr.zip"), tmp_path / "b.zarr.zip")
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()


def test_no_text_of_a_csv_is_a_formula(tmp_path):
    labels = ["=1+1", "@SUM(A1)", "+a", "-b", "-1.5", "-", "a=b"]
    store.write_table(pd.DataFrame({"label": labels, "x": -1.0, "=y": 1}), tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text().splitlines() == [
        "label,x,'=y", "'=1+1,-1,1", "'@SUM(A1),-1,1", "'+a,-1,1", "'-b,-1,1", "-1.5,-1,1", "-,-1,1", "a=b,-1,1"
    ]  # fmt: skip
    assert list(store.read_table(tmp_path / "x.csv").columns) == ["label", "x", "=y"]
    assert store.read_table(tmp_path / "x.csv")["label"].tolist() == labels
    store.write_table(pd.DataFrame({"label": labels}), tmp_path / "x.parquet")
    assert store.read_table(tmp_path / "x.parquet")["label"].tolist() == labels


@pytest.mark.parametrize("text", ["'=1", "''-b", "'plain", "-0.05 -0.06 0.01", "=", "it's"])
def test_a_text_of_a_csv_comes_back_as_it_was(tmp_path, text):
    """Exponents of members, say, which begin with a minus sign."""
    store.write_table(pd.DataFrame({"each": [text, "a"]}), tmp_path / "x.csv")
    assert store.read_table(tmp_path / "x.csv")["each"].tolist() == [text, "a"]


def test_a_failed_write_leaves_nothing_and_keeps_the_old(tmp_path):
    target = tmp_path / "x.json"
    store.write_json({"a": 1}, target)
    with pytest.raises(TypeError):
        store.write_json({"a": object()}, target)
    assert store.read_json(target) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_file_that_is_no_recording_is_one_line(tmp_path):
    (tmp_path / "x.zarr.zip").write_bytes(b"not a zip")
    with pytest.raises(CortseqError, match=r"x\.zarr\.zip"):
        store.read(tmp_path / "x.zarr.zip")
    with pytest.raises(CortseqError, match="no such file"):
        store.read(tmp_path / "absent.zarr.zip")


def test_a_model_called_null_survives_the_table(tmp_path):
    table = pd.DataFrame({"model": ["null", "nan", "rate"], "value": [0.0, np.nan, 1.5]})
    store.write_table(table, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(store.read_table(tmp_path / "t.csv"), table)
