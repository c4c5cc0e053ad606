"""Products: deterministic, whole or absent."""

import errno
import os
import platform
import subprocess
import sys

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


def test_a_file_has_its_name_when_it_is_on_the_disk(tmp_path, monkeypatch):
    """The file, its new name, the folder: in this order."""
    order = []
    sync, move = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (order.append(os.readlink(f"/proc/self/fd/{f}")), sync(f)))
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("renamed"), move(a, b)))
    store.write_text("x", tmp_path / "a.txt")
    temporary = tmp_path / f".a.txt.{platform.node()}.{os.getpid()}"
    assert order == [str(temporary), "renamed", str(tmp_path)]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_have_the_mode_that_the_user_asks_for(tmp_path, umask, mode):
    """Also of a library that writes for the owner alone, as safetensors does."""
    code = (
        "import os, sys, numpy; from cortseq import store; from safetensors.numpy import save_file\n"
        f"os.umask({umask})\n"
        "with store.atomic(sys.argv[1]) as temporary: save_file({'a': numpy.ones(3)}, temporary)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "a"], check=True)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


def test_temporary_files_of_dead_writers_are_swept_and_of_others_are_not(tmp_path):
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    gone = int(dead.stdout)
    host, deep = platform.node(), tmp_path / "a/b"
    deep.mkdir(parents=True)
    left = deep / f".x.csv.{host}.{gone}"
    kept = [deep / f".x.csv.{host}.{os.getpid()}", deep / f".x.csv.elsewhere.{gone}", deep / ".hidden"]
    for file in (left, *kept):
        file.touch()
    store.sweep(tmp_path)
    assert not left.exists() and all(file.exists() for file in kept)


def test_a_folder_in_which_a_killed_writer_collected_a_product_is_swept(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    code = (
        "import os, signal, xarray; from cortseq import store\n"
        "xarray.Dataset.to_zarr = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "store.write(xarray.Dataset({'a': 1}), 'x.zarr.zip')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path)
    assert len(list(tmp_path.glob("cortseq*"))) == 1
    store.sweep(tmp_path / "results")
    assert not list(tmp_path.glob("cortseq*"))


@pytest.mark.parametrize(
    "words", [OSError(errno.ENOSPC, "x"), OSError(errno.EDQUOT, "x"), RuntimeError("I/O error (os error 28)")]
)
def test_a_full_disk_is_a_system_error_that_names_the_file(tmp_path, words):
    with pytest.raises(OSError, match=r"a\.txt") as raised, store.atomic(tmp_path / "a.txt"):
        raise words
    assert store.is_full(raised.value) and list(tmp_path.iterdir()) == []
