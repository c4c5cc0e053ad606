"""What labs have, after public bug reports: read as it is meant, or refused with the reason, never in between."""

import numpy as np
import pytest
import yaml
from field import check, nwb, steps, train

from cortseq import checking, cli, preprocess, study
from cortseq import recording as rec
from cortseq.errors import CortseqError
from cortseq.scoring import blocks
from cortseq.scoring.compare import RESAMPLES
from cortseq.scoring.statistics import paired, smallest_p
from cortseq.signs import of_roles
from cortseq.sources import registry


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def ask(tmp_path, capsys):
    def ask(**entry):
        return check(capsys, tmp_path, **entry)

    return ask


def load(**entry):
    """The Recording of an entry that no sign refuses."""
    source = registry()[entry["source"]].model_validate(entry)
    from pathlib import Path

    return preprocess.judged(source.load(Path(entry["path"]), 0), source)


def signs(found: dict) -> dict[str, str]:
    return {sign["name"]: sign["level"] for sign in found["signs"]}


def refused(answer, *words: str) -> None:
    """One line a fault, exit 2, no facts."""
    status, found, errors = answer
    assert status == 2 and not found
    for word in words:
        assert word in errors, errors


# -- what was not observed ---------------------------------------------------------------------------


def test_a_pause_is_no_silence(tmp_path, rng, ask):
    epochs = [[0.0, 100.0], [900.0, 1000.0]]
    spikes = [np.r_[train(rng, r, 0, 100), train(rng, r, 900, 1000)] for r in (5.0, 8.0, 3.0)]
    file = nwb(tmp_path / "x.nwb", [{"spike_times": t, "obs_intervals": epochs} for t in spikes])
    status, found, _ = ask(source="nwb", path=str(file))
    assert status == 0 and found["trials"] == 40 and found["valid_bins"] == 40 * 250
    assert found["spikes"] == sum(map(len, spikes)) and found["empty_trials"] == 0
    r = load(source="nwb", path=str(file))
    assert r["start"].values[[0, 19, 20, 39]].tolist() == [0, 95, 900, 995]
    refused(ask(source="nwb", path=str(file), obs_intervals=False), "empty_trials: 159 of 199 trials")


def test_trials_in_which_a_unit_was_not_observed_are_left_out(tmp_path, rng, ask):
    trials = steps(40, every=10, first=0)
    units = [
        {"spike_times": train(rng, 10, a, 400), "obs_intervals": [[a, 400.0]]} for a in (0.0, 0.0, 201.0)
    ]
    file = nwb(tmp_path / "x.nwb", units, trials)
    _, found, _ = ask(source="nwb", path=str(file))
    assert found["trials"] == 20 and found["dirt"]["trials_not_observed"] == 20
    assert found["missing_bins"] == found["dirt"]["bins_not_observed"] == 50
    r = load(source="nwb", path=str(file))
    assert r["valid"].values[0].tolist() == [False] * 50 + [True] * 50  # from 201 s on
    assert not r["counts"].values[0, :50].any()
    both = load(source="nwb", path=str(file), select={"unit": ["0", "1"]})
    assert both.sizes["trial"] == 40 and both["valid"].values.all()  # the late unit is not kept


def test_spikes_outside_of_all_observation_are_refused(tmp_path, rng, ask):
    units = [{"spike_times": train(rng, 10, 0, 200), "obs_intervals": [[500.0, 700.0]]}]
    file = nwb(tmp_path / "x.nwb", units)
    refused(ask(source="nwb", path=str(file)), "obs_intervals", "(100%)")


# -- clocks ------------------------------------------------------------------------------------------


def test_a_code_for_invalid_spikes(tmp_path, rng, ask):
    units = [{"spike_times": np.r_[np.full(50, -1.0), train(rng, r, 1000, 1130)]} for r in (10, 20)]
    file = nwb(tmp_path / "x.nwb", units)
    refused(ask(source="nwb", path=str(file)), "sentinel: 100 spikes lie at the one time -1 s", "valid_from")
    status, found, _ = ask(source="nwb", path=str(file), valid_from=0)
    assert status == 0 and found["trials"] == 25 and found["empty_trials"] == 0
    assert found["dirt"]["spikes_before_valid_from"] == 2


def test_negative_times_alone_are_no_fault(tmp_path, rng, ask):
    np.savez(tmp_path / "x.npz", t=train(rng, 10, -60, 60))
    status, found, _ = ask(source="npz", path=str(tmp_path / "x.npz"), spike_times="t", window_ms=1000)
    assert status == 0 and found["trials"] == 119


@pytest.mark.parametrize("sessions", [2, 5])
@pytest.mark.parametrize("form", ["nwb", "list", "lines"])
def test_a_clock_that_restarts(tmp_path, rng, ask, form, sessions):
    spikes = [np.concatenate([train(rng, r, 0, 100) for _ in range(sessions)]) for r in (10.0, 20.0)]
    if form == "nwb":
        entry = {"path": str(nwb(tmp_path / "x.nwb", [{"spike_times": t} for t in spikes]))}
    elif form == "list":
        np.savez(tmp_path / "x.npz", t=np.concatenate(spikes), u=np.repeat([0, 1], list(map(len, spikes))))
        entry = {"path": str(tmp_path / "x.npz"), "spike_times": "t", "spike_units": "u"}
    else:
        (tmp_path / "x.txt").write_text("\n".join(" ".join(f"{x:.4f}" for x in t) for t in spikes))
        entry = {"path": str(tmp_path / "x.txt"), "content": "spike_lines"}
    source = {"nwb": "nwb", "list": "npz", "lines": "text"}[form]
    refused(ask(source=source, **entry), "clock_restarts", f"back {sessions - 1} time(s)", "2 unit(s)")


def test_spikes_in_no_order_and_one_merged_unit_are_read(tmp_path, rng, ask):
    spikes = [train(rng, 10, 0, 100) for _ in range(4)]
    spikes[0] = np.r_[spikes[0], train(rng, 5, 0, 100)]  # two clusters that were merged
    units = np.repeat(np.arange(4), list(map(len, spikes)))
    times, order = np.concatenate(spikes), rng.permutation(len(units))
    for index in (np.arange(len(units)), order):
        np.savez(tmp_path / "x.npz", t=times[index], u=units[index])
        entry = {"path": str(tmp_path / "x.npz"), "spike_times": "t", "spike_units": "u", "window_ms": 1000}
        status, found, _ = ask(source="npz", **entry)
        assert status == 0 and found["read"]["spikes"] == len(times)


def test_milliseconds_for_seconds(tmp_path, rng, ask):
    spikes = [train(rng, r, 10, 130) for r in (10, 20)]
    file = nwb(tmp_path / "x.nwb", [{"spike_times": 1000 * t} for t in spikes], steps())
    refused(ask(source="nwb", path=str(file)), "outside", "(100%)", "time_unit")
    status, found, _ = ask(source="nwb", path=str(file), time_unit="ms")
    assert status == 0 and found["rates_hz"][1] == pytest.approx(15, abs=2)
    np.savez(tmp_path / "x.npz", t=1000 * spikes[1])
    entry = {"source": "npz", "path": str(tmp_path / "x.npz"), "spike_times": "t", "window_ms": 1000}
    assert ask(**entry, time_unit="ms")[0] == 0
    refused(ask(**entry), "empty_trials")
    refused(ask(**entry, time_unit="us"), "time_unit: the median rate of the units is 1.98e+04 Hz")


def test_sample_numbers(tmp_path, rng, ask):
    rows = sorted(zip(rng.integers(0, 30000 * 120, 900), rng.choice([3, 17, 501], 900), strict=True))
    (tmp_path / "x.csv").write_text("".join(f"{u},{s}\n" for s, u in rows))
    entry = {"source": "text", "path": str(tmp_path / "x.csv"), "content": "spikes"}
    refused(ask(**entry), "time_unit", "whole numbers", "sampling_rate_hz")
    status, found, _ = ask(**entry, sampling_rate_hz=30000)
    assert status == 0 and found["read"]["spikes"] == 900 and found["bins"][2] * found["trials"] == 23 * 250
    assert found["rates_hz"][1] == pytest.approx(2.5, abs=0.5)


@pytest.mark.parametrize("first", [0, 1])
def test_session_times_with_trial_numbers(tmp_path, rng, ask, first):
    t = train(rng, 20, 0, 200)
    k = np.floor(t / 4).astype(int)
    np.savez(tmp_path / "x.npz", t=t, u=rng.integers(0, 4, len(t)), k=k + first, w=t - 4 * k)
    entry = {"source": "npz", "path": str(tmp_path / "x.npz"), "spike_units": "u", "spike_trials": "k"}
    refused(ask(**entry, spike_times="t"), "session_times")
    status, found, _ = ask(**entry, spike_times="w")
    assert status == 0 and found["trials"] == 50 and found["bins"] == [200, 200, 200]


def test_trials_that_need_no_stop_and_trials_that_overlap(tmp_path, rng, ask):
    spikes = [{"spike_times": train(rng, 10, 5, 135)}]
    endless = nwb(tmp_path / "endless.nwb", spikes, [(start, np.nan) for start, _ in steps()])
    status, found, _ = ask(source="nwb", path=str(endless), window_ms=[0, 2000])
    assert status == 0 and found["trials"] == 40 and found["bins"] == [100, 100, 100]
    refused(ask(source="nwb", path=str(endless)), "no trial has a start and a stop", "window_ms")
    file = str(nwb(tmp_path / "x.nwb", spikes, steps()))
    refused(
        ask(source="nwb", path=file, window_ms=[-500, 3000]), "overlap: 39 of 40 trials", "0.5 s", "guard"
    )
    for stop in (3000, 9000):
        entry = {"source": "nwb", "path": file, "window_ms": [-500, stop], "guard": True}
        assert ask(**entry)[0] == 0
        _no_shared_time(load(**entry))


def _no_shared_time(recording) -> None:
    from cortseq import splits
    from cortseq.sources.nwb import Nwb

    source = Nwb(path="x.nwb", guard=True)
    for deal in (splits.Deal(), splits.Deal(folds=4)):
        for fold in splits.split(recording, deal, source, "d")["folds"]:
            spans = {
                role: np.stack([recording[e].values[fold[role]] for e in ("start", "stop")], 1)
                for role in splits.ROLES[:3]
            }
            for a, b in (("train", "test"), ("train", "valid"), ("valid", "test")):
                shared = (spans[a][:, None, 0] < spans[b][None, :, 1] - 0.01) & (
                    spans[b][None, :, 0] < spans[a][:, None, 1] - 0.01
                )
                assert not shared.any(), (a, b)


# -- spikes twice, padding, numbers that do not fit --------------------------------------------------


@pytest.mark.parametrize("form", ["nwb", "list"])
def test_every_spike_twice(tmp_path, rng, ask, form):
    spikes = [train(rng, r, 10, 130) for r in (10, 20)]
    twice = [np.repeat(t, 2) for t in spikes]
    if form == "nwb":
        entry = {"source": "nwb", "path": str(nwb(tmp_path / "x.nwb", [{"spike_times": t} for t in twice]))}
    else:
        np.savez(tmp_path / "x.npz", t=np.concatenate(twice), u=np.repeat([0, 1], list(map(len, twice))))
        entry = {"source": "npz", "path": str(tmp_path / "x.npz"), "spike_times": "t", "spike_units": "u"}
    status, found, _ = ask(**entry, window_ms=1000)
    n = sum(map(len, spikes))
    assert status == 0 and found["read"]["spikes"] == n and signs(found)["twice"] == "warn"
    assert found["dirt"]["spikes_at_the_same_time"] == n


def test_two_spikes_share_a_time_on_a_coarse_clock(tmp_path, rng):
    times = np.sort(rng.integers(0, 6000, 4000)) * 0.01
    np.savez(tmp_path / "x.npz", t=times)
    r = load(source="npz", path=str(tmp_path / "x.npz"), spike_times="t", window_ms=1000)
    assert "spikes_at_the_same_time" not in r.attrs["dirt"] and r["counts"].values.max() > 1


@pytest.mark.parametrize("filler", [0.0, np.nan])
@pytest.mark.parametrize("turned", [False, True])
def test_a_padded_matrix_is_one_unit_a_row(tmp_path, rng, ask, filler, turned):
    spikes = [train(rng, r, 0, 300) for r in (1, 5, 0.2)]
    matrix = np.full((3, max(map(len, spikes))), filler)
    for row, times in zip(matrix, spikes, strict=True):
        row[: len(times)] = times
    np.savez(tmp_path / "x.npz", s=matrix.T if turned else matrix)
    status, found, _ = ask(source="npz", path=str(tmp_path / "x.npz"), spike_times="s")
    assert status == 0 and found["features"] == 3 and found["read"]["spikes"] == sum(map(len, spikes))
    assert signs(found)["spikes_padding"] == "note"


def test_trials_of_counts_padded_with_nan(tmp_path, rng, ask):
    x = rng.poisson(1.0, (40, 3, 30)).astype(float)
    lengths = rng.integers(15, 30, 40)
    for k, n in enumerate(lengths):
        x[k, :, n:] = np.nan
    np.savez(tmp_path / "x.npz", x=x)
    entry = {"source": "npz", "path": str(tmp_path / "x.npz"), "counts": "x", "native_bin_ms": 20}
    status, found, _ = ask(**entry)
    assert status == 0 and found["valid_bins"] == lengths.sum() and found["spikes"] == np.nansum(x)
    r = load(**entry, bin_ms=40)
    assert (r["valid"].values.sum(1) == lengths // 2).all()
    x[0, 1, 3] = np.nan
    np.savez(tmp_path / "x.npz", x=x)
    refused(ask(**entry), "whole numbers >= 0")


def test_cells_of_binned_rates(tmp_path, rng, ask):
    savemat = pytest.importorskip("scipy.io").savemat
    cells = np.empty((1, 12), object)
    for i in range(12):
        cells[0, i] = rng.poisson(20, (60, 1)) / 400.0
    savemat(tmp_path / "x.mat", {"binned": cells})
    entry = {
        "path": str(tmp_path / "x.mat"),
        "counts": "binned",
        "axes": ["trial", "time"],
        "native_bin_ms": 400,
    }
    status, found, errors = ask(source="mat", **entry)
    assert status == 2 and not found and "spike_times" not in errors


def test_trial_numbers_with_holes_make_no_trials(tmp_path, rng, ask):
    numbers = np.array([1, 2, 5, 9, *range(20, 60)])
    k = np.repeat(numbers, 20)
    np.savez(tmp_path / "x.npz", t=rng.uniform(0, 1, len(k)), k=k)
    entry = {"source": "npz", "path": str(tmp_path / "x.npz"), "spike_times": "t", "spike_trials": "k"}
    status, found, _ = ask(**entry)
    assert status == 0 and found["trials"] == 44 and found["empty_trials"] == 0
    assert found["dirt"]["trial_numbers_unused"] == 59 - 44


@pytest.mark.parametrize("rows", ["1,{},0.5\n", "{},1,0.5\n"])
@pytest.mark.parametrize("number", ["True", str(2**64 + 3), "1e300"])
def test_numbers_that_are_none(tmp_path, ask, rows, number):
    (tmp_path / "x.csv").write_text(rows.format(1) * 30 + rows.format(number))
    entry = {"path": str(tmp_path / "x.csv"), "content": "spikes", "columns": ["trial", "unit", "time"]}
    status, _, errors = ask(source="text", **entry)
    assert status == 2 and len(errors.splitlines()) == 1 and ("columns" in errors or "content" in errors)


def test_counts_do_not_wrap(tmp_path, rng, ask):
    x = rng.poisson(1.0, (30, 5, 2)).astype(np.uint64)
    x[3, 2, 1] = 2**32 + 3
    np.savez(tmp_path / "x.npz", x=x)
    entry = {"counts": "x", "axes": ["trial", "time", "unit"], "native_bin_ms": 20}
    refused(ask(source="npz", path=str(tmp_path / "x.npz"), **entry), "more spikes in one bin", "4294967299")


def test_two_units_of_one_name(tmp_path, rng, ask):
    file = nwb(tmp_path / "x.nwb", [{"spike_times": train(rng, 10, 0, 100), "id": 4} for _ in range(2)])
    refused(ask(source="nwb", path=str(file), window_ms=1000), "same_name", "'4'")
    assert ask(source="nwb", path=str(file), window_ms=1000, accept=["same_name"])[0] == 0


def test_a_dataset_named_twice(tmp_path):
    entry = "{source: synthetic, kind: ring}"
    (tmp_path / "s.yaml").write_text(f"datasets:\n  a: {entry}\n  b: {entry}\n  a: {entry}\n")
    with pytest.raises(CortseqError, match=r"s\.yaml: a: is there twice \(line 4\)"):
        study.read(tmp_path / "s.yaml")


# -- text --------------------------------------------------------------------------------------------


def test_decimal_commas(tmp_path, rng, ask):
    times, values = train(rng, 7.5, 0, 120), rng.normal(size=1200)
    (tmp_path / "t.txt").write_text("".join(f"{t:.4f}\n" for t in times).replace(".", ","))
    status, found, _ = ask(source="text", path=str(tmp_path / "t.txt"), content="spike_times", window_ms=1000)
    assert status == 0 and found["read"]["spikes"] == len(np.unique(times.round(4)))
    assert found["features"] == 1 and signs(found)["decimal_commas"] == "note"
    (tmp_path / "v.txt").write_text("".join(f"{v:.3f}\n" for v in values).replace(".", ","))
    entry = {"source": "text", "content": "signal", "frame_rate_hz": 10}
    status, found, _ = ask(**entry, path=str(tmp_path / "v.txt"))
    assert (
        status == 0
        and found["features"] == 1
        and found["values"][1] == pytest.approx(values.mean(), abs=1e-3)
    )
    (tmp_path / "w.csv").write_text(
        "".join(f"{a:.3f};{b:.3f}\n" for a, b in values.reshape(-1, 2)).replace(".", ",")
    )
    status, found, _ = ask(**entry, path=str(tmp_path / "w.csv"))
    assert status == 0 and found["features"] == 2


def test_a_comma_that_may_be_either_is_asked_for(tmp_path, ask):
    (tmp_path / "x.txt").write_text("".join(f"{k},{10 + k % 90}\n" for k in range(600)))
    entry = {"source": "text", "path": str(tmp_path / "x.txt"), "content": "signal", "frame_rate_hz": 10}
    refused(ask(**entry), "decimal: every row has one comma")
    assert (
        ask(**entry, separator=",", accept=["clock_channel"])[1]["features"] == 1
    )  # the first column is a clock
    assert ask(**entry, decimal=",", window_ms=1000)[0] == 2  # a clock again, and nothing else


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_marks_of_encodings_are_no_symbols(tmp_path, rng, ask, encoding):
    lines = "\n".join(",".join(rng.choice(list("abc"), 12)) for _ in range(30)) + "\n"
    (tmp_path / "x.csv").write_text(lines, encoding=encoding)
    status, found, _ = ask(source="text", path=str(tmp_path / "x.csv"), separator=",")
    assert status == 0 and sorted(found["commonest"]) == ["a", "b", "c"] and found["symbols"] == 360


def test_another_encoding_is_asked_for(tmp_path, rng, ask):
    lines = "\n".join(" ".join(rng.choice(["é", "ü"], 9)) for _ in range(30))
    (tmp_path / "x.txt").write_text(lines, encoding="latin-1")
    refused(ask(source="text", path=str(tmp_path / "x.txt"), separator=" "), "UTF-8", "encoding")
    status, found, _ = ask(source="text", path=str(tmp_path / "x.txt"), separator=" ", encoding="latin-1")
    assert status == 0 and sorted(found["commonest"]) == ["é", "ü"]


def test_a_clock_among_the_channels(tmp_path, rng, ask):
    rows = [f"{i / 10:.1f},{a:.3f},{b:.3f}" for i, (a, b) in enumerate(rng.normal(size=(1200, 2)))]
    (tmp_path / "x.csv").write_text("time,n1,n2\n" + "\n".join(rows))
    entry = {"path": str(tmp_path / "x.csv"), "content": "signal", "skip_lines": 1, "frame_rate_hz": 10}
    status, found, _ = ask(source="text", **entry)
    assert status == 0 and found["features"] == 2 and signs(found)["clock_channel"] == "warn"
    assert abs(found["values"][1]) < 0.1


def test_one_label_per_line_is_one_record(tmp_path, rng, ask):
    labels = np.repeat(rng.integers(0, 5, 200), rng.integers(1, 15, 200))
    (tmp_path / "x.txt").write_text("# stages\n" + "\n".join(map(str, labels)) + "\n")
    entry = {"source": "text", "path": str(tmp_path / "x.txt")}
    refused(ask(**entry), f"sequences: all {len(labels)} sequences have one label", "window_events")
    status, found, _ = ask(**entry, window_events=20)
    assert status == 0 and found["trials"] == len(labels) // 20 and found["features"] == 5
    runs = int((np.diff(labels) != 0).sum()) + 1
    assert ask(**entry, window_events=4, collapse=True)[1]["symbols"] == runs // 4 * 4


def test_tables_of_labels(tmp_path, rng, ask):
    songs = [rng.integers(0, 4, rng.integers(10, 20)) for _ in range(30)]
    rows = [
        f"{'abcd'[s]},{k * 0.2:.3f},{k * 0.2 + 0.1:.3f},song{i}.wav"
        for i, song in enumerate(songs)
        for k, s in enumerate(song)
    ]
    (tmp_path / "x.csv").write_text("label,onset_s,offset_s,file\n" + "\n".join(rows) + "\n")
    entry = {"source": "text", "path": str(tmp_path / "x.csv"), "separator": ","}
    refused(ask(**entry, skip_lines=1), "labels: 30 labels are file names", "group_by")
    status, found, _ = ask(**entry, label="label", group_by="file")
    assert status == 0 and found["trials"] == 30 and found["symbols"] == sum(map(len, songs))
    assert found["features"] == 4 and found["bins"][2] == max(map(len, songs))
    assert ask(**entry, label="1", group_by="4", skip_lines=1)[1]["symbols"] == found["symbols"]
    refused(ask(**entry, label="onset_s", group_by="file"), "labels:", "decimals")


def test_headings_are_no_sequences(tmp_path, ask):
    (tmp_path / "x.txt").write_text(
        "# id: 1\nfree text\n\n# one:\ngroom|rear|groom\n\n# two:\nsniff|rear|rear\n"
    )
    refused(ask(source="text", path=str(tmp_path / "x.txt"), separator="|"), "headings: 'free text'")


def test_missing_labels_join_no_neighbours(tmp_path, rng, ask):
    rows = [rng.choice(["1", "2", "nan", "", "-1"], 30).tolist() for _ in range(40)]
    (tmp_path / "x.csv").write_text("\n".join(",".join(row) for row in rows) + "\n")
    entry = {"source": "text", "path": str(tmp_path / "x.csv"), "separator": ","}
    status, found, _ = ask(**entry)
    known = sum(label not in ("nan", "") for row in rows for label in row)
    assert status == 0 and found["symbols"] == known and found["missing_bins"] > 0
    assert found["features"] == 3 and signs(found)["missing_labels"] == "warn"
    r = load(**entry, missing=["", "nan", "-1"])
    assert r.attrs["labels"] == ["1", "2"]
    for row, symbols, valid in zip(rows, r["symbols"].values, r["valid"].values, strict=True):
        assert [label for label in row if label in "12" and label] == [str(s + 1) for s in symbols[valid]]
        assert valid.tolist()[: len(row)] == [label in ("1", "2") for label in row]


# -- sizes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "entry", "word"),
    [
        ({"t": np.r_[np.arange(200) * 0.1, 1e9]}, {}, "time_unit: the spikes span"),
        (
            {"t": np.linspace(0, 60, 600)},
            {"bin_ms": 0.02, "window_ms": 5000},
            "bins_per_trial: the longest trial",
        ),
        ({"t": np.linspace(0, 8e5, 9000)}, {"window_ms": 1000, "bin_ms": 0.05}, "memory: 800000 trials"),
        (
            {"t": np.r_[np.arange(99) * 0.1, 8e5 + 0.5], "k": np.arange(100)[::-1]},
            {"spike_trials": "k", "accept": ["time_unit", "empty_trials"]},
            "bins_per_trial",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_made(tmp_path, ask, arrays, entry, word):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    np.savez(tmp_path / "x.npz", **arrays)
    refused(ask(source="npz", path=str(tmp_path / "x.npz"), spike_times="t", **entry), word)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


def test_a_trial_number_of_a_billion_is_one_trial(tmp_path, rng, ask):
    k = np.r_[np.repeat(np.arange(30), 10), np.full(10, 10**9)]
    np.savez(tmp_path / "x.npz", t=rng.uniform(0, 1, len(k)), k=k)
    entry = {"source": "npz", "path": str(tmp_path / "x.npz"), "spike_times": "t", "spike_trials": "k"}
    assert ask(**entry)[1]["trials"] == 31


def test_a_bomb_is_measured_before_it_is_opened(tmp_path, ask):
    import zipfile

    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as file,
    ):
        n = 3_000_000_000
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({n},), }}".ljust(117) + "\n"
        file.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
        for _ in range(n // 10**7):
            file.write(bytes(10**7))
    assert (tmp_path / "x.npz").stat().st_size < 10**7
    entry = {"counts": "x", "axes": ["time"], "native_bin_ms": 1}
    refused(ask(source="npz", path=str(tmp_path / "x.npz"), **entry), "the array x needs 9 GB")


# -- short recordings --------------------------------------------------------------------------------


def test_a_minute_of_spikes(tmp_path, rng, ask):
    lines = [" ".join(f"{t:.4f}" for t in train(rng, 5, 0, 60)) for _ in range(3)]
    (tmp_path / "x.txt").write_text("\n".join(lines))
    entry = {"source": "text", "path": str(tmp_path / "x.txt"), "content": "spike_lines"}
    status, found, _ = ask(**entry)
    roles = found["folds"][0]
    assert status == 0 and found["trials"] == 11 and roles["test"] == 2 and roles["valid"] == 2
    assert roles["train"] > roles["test"] and found["test_pieces"] == [2] and found["smallest_p"] == 0.5
    assert signs(found)["few_trials"] == signs(found)["few_blocks"] == "warn"
    status, found, _ = ask(**entry, window_ms=500)
    assert found["smallest_p"] < 0.05 and "few_blocks" not in signs(found)


def test_blocks_that_allow_no_verdict_are_said_before_any_fit():
    """Six blocks allow p = .031, which is enough for one network and not for two."""
    recording = rec.from_counts(np.ones((40, 5, 2), int), bin_width=0.02)
    manifest = {"folds": [{"train": [*range(30)], "test": [*range(30, 36)]}], "continuous": False}
    found = {
        n: [s for s in of_roles(recording, manifest, [6], n) if s.name == "few_blocks"] for n in (0, 1, 2)
    }
    assert not found[0] and not found[1] and found[2][0].level == "warn"
    assert found[2][0].text == (
        "6 independent blocks of test data allow no p below 0.031, after Holm's adjustment for 2 networks none below "
        "0.062: there will be no verdict"
    )
    (few,) = (s for s in of_roles(recording, manifest, [4], 1) if s.name == "few_blocks")
    assert few.text == "4 independent blocks of test data allow no p below 0.12: there will be no verdict"


def test_blocks_are_those_of_the_test_windows_of_all_folds_together():
    """Five folds of 27 windows: 135^(1/3) is 6 windows a block, where 27^(1/3) would be 3."""
    made = np.random.default_rng(0).poisson(1.0, (135, 5, 2))
    recording = rec.from_counts(made, bin_width=0.02).assign_attrs(continuous=1)
    folds = []
    for test in np.arange(135).reshape(27, 5).T:
        rest = np.setdiff1d(np.arange(135), test).tolist()
        folds.append({"train": rest[:80], "valid": rest[80:], "test": test.tolist(), "guard": []})
    source = registry()["synthetic"].model_validate({"source": "synthetic", "kind": "ring"})
    found = checking.facts(recording, {"folds": folds, "continuous": True}, source)
    place = blocks.place([fold["test"] for fold in folds], True)
    noise = np.where(place["order"] % 2, 1.0, -1.0)  # no neighbours are alike: as many blocks as there can be
    scored = paired(noise, 0 * noise, np.ones(135), RESAMPLES, **place)
    assert found["test_pieces"] == [22] and scored.pieces == 22
    assert found["smallest_p"] == scored.smallest_p == smallest_p(22, RESAMPLES)


def test_two_restarts_are_said_to_be_too_few(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).poisson(1.0, (60, 10, 3)))
    entry = {
        "source": "npz",
        "path": str(tmp_path / "x.npz"),
        "counts": "x",
        "axes": ["trial", "time", "unit"],
    }
    study = {"study": "s", "datasets": {"d": entry | {"native_bin_ms": 10}}}
    said = {}
    for members in (1, 2, 3):
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(study | {"members": members}))
        assert cli.main(["check", str(tmp_path / "s.yaml")]) == 0
        said[members] = capsys.readouterr().out
    for members in (1, 2):
        few = f"  {members} random restart(s) are too few for a verdict on a network -- set members: 5 (3 are the least)"
        assert few in said[members].splitlines()
    assert "too few for a verdict" not in said[3]
