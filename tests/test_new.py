"""`cortseq new` with several files: tables of trials join their spikes; each study gives the counts that were made."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from layouts import KINDS, LAYOUTS, LENGTH, N_TRIALS, STARTS, cut, joined

from cortseq import cli, entries, pairing, preprocess, study
from cortseq.errors import CortseqError
from cortseq.sources import asked, guesses


def begun(folder: Path, *files: str):
    """Write a study of files in `folder`, two folders away from them; return it."""
    out = folder / "studies/mine.yaml"
    out.parent.mkdir(exist_ok=True)
    assert cli.main(["new", *(str(folder / name) for name in files), "-o", str(out)]) == 0
    return study.read(out)


def recording(plan, name: str):
    source = plan.datasets[name]
    return preprocess.judged(source.load(Path(source.path), 0), source)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("layout", "files"),
    [("csv_and_trials", ["x.csv", "t.parquet"]), ("npz_and_table", ["x.npz", "trials.csv"])],
)
def test_a_table_of_trials_cuts_the_spikes(layout, files, order, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = LAYOUTS[layout].make(tmp_path)
    plan = begun(tmp_path, *files[::order])
    assert list(plan.datasets) == ["x"]
    found = recording(plan, "x")
    np.testing.assert_array_equal(found["counts"].transpose("trial", "time", "unit").values, made.expected)
    assert list(found["side"].values) == list(KINDS)


@pytest.mark.parametrize(("unit", "scale"), [("s", 1.0), ("ms", 1e3), ("us", 1e6)])
@pytest.mark.parametrize("named", [True, False])
def test_the_unit_of_a_table_is_its_names_or_the_one_that_fits(unit, scale, named, tmp_path):
    LAYOUTS["kilosort"].make(tmp_path)
    ending = f"_{unit}" if named else ""
    table = {f"trialStart{ending}": STARTS * scale, f"trialEnd{ending}": (STARTS + LENGTH) * scale}
    pd.DataFrame({**table, "number": np.arange(N_TRIALS)}).to_csv(tmp_path / "events.csv", index=False)
    plan = begun(tmp_path, "ks", "events.csv")
    trials = plan.datasets["ks"].trials
    assert (trials.start, trials.stop, trials.time_unit) == (*table, unit)
    assert trials.columns == []  # a number that is different in every row labels nothing
    np.testing.assert_array_equal(recording(plan, "ks")["counts"].values, cut())


@pytest.mark.parametrize("order", ["a a_trials b b_trials", "a b a_trials b_trials", "a_trials a b_trials b"])
def test_each_table_belongs_to_a_recording_of_its_own(order, tmp_path):
    times, units = joined()
    for name, shift in (("a", 0.0), ("b", 500.0)):
        pd.DataFrame({"unit": units, "time": times + shift}).to_csv(tmp_path / f"{name}.csv", index=False)
        rows = {"start": STARTS + shift, "stop": STARTS + shift + LENGTH}
        pd.DataFrame(rows).to_csv(tmp_path / f"{name}_trials.csv", index=False)
    plan = begun(tmp_path, *(f"{name}.csv" for name in order.split()))
    assert {name: Path(s.trials.path).name for name, s in plan.datasets.items()} == {
        "a": "a_trials.csv",
        "b": "b_trials.csv",
    }
    for name in "ab":
        np.testing.assert_array_equal(recording(plan, name)["counts"].values, cut())


def test_a_table_that_no_recording_is_left_for_is_one_line(tmp_path, capsys):
    times, units = joined()
    pd.DataFrame({"unit": units, "time": times}).to_csv(tmp_path / "x.csv", index=False)
    for name in ("one", "two"):
        pd.DataFrame({"start": STARTS, "stop": STARTS + LENGTH}).to_csv(tmp_path / f"{name}.csv", index=False)
    files = [str(tmp_path / f"{name}.csv") for name in ("x", "one", "two")]
    assert cli.main(["new", *files, "-o", str(tmp_path / "mine.yaml")]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1 and "two.csv" in said and "no recording is left" in said


def test_a_table_of_another_clock_is_one_line(tmp_path, capsys):
    times, units = joined()
    pd.DataFrame({"unit": units, "time": times}).to_csv(tmp_path / "x.csv", index=False)
    rows = {"start_s": STARTS + 1e5, "stop_s": STARTS + 1e5 + LENGTH}
    pd.DataFrame(rows).to_csv(tmp_path / "trials.csv", index=False)
    files = [str(tmp_path / name) for name in ("x.csv", "trials.csv")]
    assert cli.main(["new", *files, "-o", str(tmp_path / "mine.yaml")]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1 and "outside" in said
    assert not (tmp_path / "mine.yaml").exists()


def test_two_recordings_stay_two(tmp_path):
    LAYOUTS["csv_trials"].make(tmp_path)
    (tmp_path / "x.csv").rename(tmp_path / "own.csv")  # spikes that have their trials already
    LAYOUTS["csv_labels"].make(tmp_path)  # labels with onsets are no trials
    plan = begun(tmp_path, "own.csv", "x.csv")
    assert {name: s.content for name, s in plan.datasets.items()} == {"own": "spikes", "x": "symbols"}


def test_times_are_taken_rather_than_frames_or_numbers_of_no_unit(tmp_path):
    table = pd.DataFrame({
        "start_frame": np.round(STARTS * 30), "stop_frame": np.round(STARTS * 30) + 5, "start": STARTS * 7,
        "start_ms": STARTS * 1e3, "end_s": STARTS + 1e6, "stop_ms": (STARTS + LENGTH) * 1e3,
    })  # fmt: skip
    table.to_csv(tmp_path / "x.csv", index=False)
    found = pairing.table_of(tmp_path / "x.csv")
    assert (found["start"], found["stop"]) == ("start_ms", "stop_ms")
    table.drop(columns="stop_ms").to_csv(tmp_path / "x.csv", index=False)
    assert "stop" not in pairing.table_of(tmp_path / "x.csv")  # in s, not in ms
    table[["start", "stop_ms"]].to_csv(tmp_path / "x.csv", index=False)
    assert pairing.table_of(tmp_path / "x.csv")["stop"] == "stop_ms"
    table[["start_frame", "stop_frame"]].to_csv(tmp_path / "x.csv", index=False)
    assert pairing.table_of(tmp_path / "x.csv") is None


@pytest.mark.parametrize("columns", [
    {"start": STARTS[::-1]}, {"start": STARTS[:3]}, {"time": STARTS}, {"start": ["a"] * 9}, {"stop": STARTS},
])  # fmt: skip
def test_what_is_no_table_of_trials(columns, tmp_path):
    pd.DataFrame(columns).to_csv(tmp_path / "x.csv", index=False)
    assert pairing.table_of(tmp_path / "x.csv") is None
    assert pairing.table_of(tmp_path) is None


def test_a_large_file_is_no_table_of_trials_and_is_not_read(tmp_path, monkeypatch):
    file = tmp_path / "x.csv"
    pd.DataFrame({"start": STARTS}).to_csv(file, index=False)
    monkeypatch.setattr(pairing, "_LARGEST", file.stat().st_size)
    assert pairing.table_of(file)["start"] == "start"
    monkeypatch.setattr(pairing, "_LARGEST", file.stat().st_size - 1)
    monkeypatch.setattr(pairing, "open_table", lambda *_: pytest.fail("the file is read"))
    assert pairing.table_of(file) is None


def test_an_address_that_nothing_streams_is_one_line(capsys, tmp_path):
    with pytest.raises(CortseqError, match="no source knows what the file may be"):
        from cortseq import outline

        outline.study(["http://127.0.0.1:9/x.csv"], tmp_path / "x.yaml")


def test_inputs_are_proposed_and_work_where_they_are_taken(tmp_path):
    """Times within trials, labels and numbers of them; outcomes are not, nor is a number of each row."""
    times, units = joined()
    pd.DataFrame({"unit": units, "time": times}).to_csv(tmp_path / "x.csv", index=False)
    side = np.resize(["left", "right"], N_TRIALS)
    columns = {
        "start": STARTS, "stop": STARTS + LENGTH, "cue": STARTS + LENGTH / 2, "side": side,
        "contrast": np.resize([0.1, 0.5], N_TRIALS), "choice": side[::-1], "number": np.arange(N_TRIALS),
    }  # fmt: skip
    pd.DataFrame(columns).to_csv(tmp_path / "t.csv", index=False)
    begun(tmp_path, "x.csv", "t.csv")
    file = tmp_path / "studies/mine.yaml"
    text = file.read_text()
    assert "# inputs:  # GUESS: what models may see of the animal" in text
    for line in ("cue: {event: cue}", "side: {label: side}", "contrast: {value: contrast}"):
        assert f"    #   {line}" in text
    assert "event: choice" not in text and "label: choice" not in text and "number" not in text
    begin = text.index("    # inputs:")
    taken = text[:begin] + text[begin:].replace("    # inputs:", "    inputs:").replace("    #   ", "      ")
    file.write_text(taken)
    source = study.read(file).datasets["x"]
    found = preprocess.judged(asked.read(source, Path(source.path), 0), source)
    names = [str(name) for name in found["input"].values]
    assert names[0] == "cue" and set(names) == {"cue", "side=left", "side=right", "contrast"}
    at = found["inputs"].values[0, :, 0].nonzero()[0]
    assert found["time"].values[at] == pytest.approx([LENGTH / 2], abs=0.02)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("lorenz63_on0.05.npz", "lorenz63_on0.05"),
        ("sub-1_ses-2.nwb", "sub-1_ses-2"),
        ("a.nwb.zarr", "a"),
        ("b.zarr.zip", "b"),
        ("bird.not.mat", "bird"),
        ("session", "session"),
        ("v1.2_run", "v1.2_run"),
    ],
)
def test_names_of_datasets_keep_the_dots_of_numbers(file, name):
    assert entries.stem(file) == name


def test_a_folder_that_holds_a_recording_names_it(tmp_path, monkeypatch, capsys):
    """And one file of a folder that is read as a whole is said to be one."""
    monkeypatch.chdir(tmp_path)
    made = LAYOUTS["phy"].make(tmp_path)
    folder = tmp_path / "outer" / Path(made.entry["path"]).name
    shutil.copytree(tmp_path / made.entry["path"], folder)
    assert cli.main(["new", "outer"]) == 2
    assert f"name what it holds: {Path('outer', folder.name)}" in capsys.readouterr().err
    assert cli.main(["new", str(folder / "spike_times.npy"), "-o", "a.yaml"]) == 0
    assert f"belongs to a folder that is read as a whole: {folder}" in capsys.readouterr().err


def test_a_covariate_with_the_name_of_a_dimension_is_not_proposed():
    """Its values would stand in place of the positions of trials."""
    rng = np.random.default_rng(0)
    arrays = {
        "c": rng.poisson(1.0, (40, 25, 6)),
        "trial": np.arange(100, 140),
        "contrast": np.arange(40) % 3,
    }
    found = [proposal.entry.get("covariates", {}) for proposal in guesses.from_arrays("npz", arrays)]
    assert {"contrast": "contrast"} in found and not any("trial" in covariates for covariates in found)
