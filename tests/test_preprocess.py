"""Raw Dataset -> Recording: binning, cutting, gaps, selection."""

import numpy as np
import pytest
import xarray as xr

from cortseq import recording as rec
from cortseq.errors import CortseqError
from cortseq.preprocess import preprocess
from cortseq.preprocess.samples import without_clocks
from cortseq.signs.samples import of_samples
from cortseq.sources.npz import SOURCE as Npz
from cortseq.sources.raw import unequal


def _entry(**more):
    return Npz(**{"source": "npz", "path": "x.npz", "counts": "c", "native_bin_ms": 10, **more})


def _continuous(time, counts, **variables):
    raw = xr.Dataset({"counts": (("time", "unit"), counts)}, coords={"time": time}, attrs={"form": "samples"})
    for name, values in variables.items():
        raw[f"series_{name}"] = f"time_{name}", values
        raw = raw.assign_coords({f"time_{name}": time})
    raw.attrs["bin_width"] = 0.01
    return raw


def test_windows_do_not_span_gaps():
    time = np.concatenate([np.arange(100) * 0.01, 5 + np.arange(70) * 0.01])
    raw = _continuous(time, np.arange(170)[:, None])
    r = preprocess(raw, _entry(window_ms=300, bin_ms=50, axes=("time", "unit")))
    assert r.sizes["trial"] == 3 + 2 and r.sizes["time"] == 6
    assert r["start"].values.tolist() == pytest.approx([0, 0.3, 0.6, 5.0, 5.3])
    assert (r["stop"] - r["start"]).values == pytest.approx(np.full(5, 0.3))
    assert r["counts"].values[0, 0, 0] == 0 + 1 + 2 + 3 + 4
    assert r["counts"].values.sum() == np.r_[0:90, 100:160].sum()
    assert r.attrs["continuous"] == 1 and r.attrs["bin_width"] == pytest.approx(0.05)


def test_samples_before_valid_from_are_left_out():
    raw = _continuous(np.arange(100) * 0.01, np.arange(100)[:, None])
    r = preprocess(raw, _entry(window_ms=300, axes=("time", "unit"), valid_from=0.25))
    assert r["start"].values.tolist() == pytest.approx([0.25, 0.55]) and r["counts"].values[0, 0, 0] == 25
    assert '"samples_before_valid_from": 25' in r.attrs["dirt"]
    with pytest.raises(CortseqError, match=r"valid_from: no sample is left, the last is at 0\.99 s"):
        preprocess(raw, _entry(window_ms=300, valid_from=1.0))
    trials = xr.Dataset({"counts": (("trial", "time", "unit"), np.ones((4, 5, 2)))}, attrs=raw.attrs)
    with pytest.raises(CortseqError, match="valid_from: is for samples on one clock"):
        preprocess(trials, _entry(valid_from=0.25))


def test_a_repeated_clock_value_is_no_gap():
    time = np.arange(60) * 0.01
    time[30] = time[29]
    assert preprocess(_continuous(time, np.ones((60, 1))), _entry(window_ms=300)).sizes["trial"] == 2


def test_series_go_along_as_labels():
    time = np.arange(60) * 0.01
    r = preprocess(_continuous(time, np.ones((60, 1)), angle=time * 10), _entry(window_ms=300, bin_ms=20))
    assert r["angle"].dims == ("trial", "time") and r.attrs["covariates"] == ["angle"]
    assert r["angle"].values[1, 0] == pytest.approx(3.1)  # the middle of bins 0.30 and 0.31


def test_angles_are_not_interpolated():
    """Events with a behaviour series: the nearest sample, never a mean across the jump at 2 pi."""
    raw = xr.Dataset(
        {
            "event_time": ("event", np.arange(100) * 0.01),
            "event_unit": ("event", np.zeros(100, int)),
            "series_angle": ("time_angle", np.array([6.2, 0.1, 6.2, 0.1])),
        },
        coords={"unit": [0], "time_angle": [0.0, 0.3, 0.6, 0.9]},
        attrs={"form": "events"},
    )
    r = preprocess(raw, _entry(window_ms=200, bin_ms=50))
    assert set(np.unique(r["angle"].values)) == {6.2, 0.1}


def _trials():
    return xr.Dataset(
        {
            "event_time": ("event", np.array([0.5, 1.2, 1.9, 3.0, 9.0, 1.95])),
            "event_unit": ("event", np.array([0, 1, 0, 1, 0, 0])),
            "interval_start": ("trial", np.array([0.0, 1.0, 2.5])),
            "interval_stop": ("trial", np.array([1.0, 2.0, 4.0])),
            "interval_align": ("trial", np.array([0.4, 1.5, 3.0])),
            "covariate_kind": ("trial", np.array(["a", "b", "a"])),
        },
        coords={"unit": ["u", "v"], "area": ("unit", ["X", "Y"])},
        attrs={"form": "events"},
    )


def test_trials_of_unequal_length_are_masked():
    r = preprocess(_trials(), _entry(bin_ms=500))
    assert r["valid"].values.sum(1).tolist() == [2, 2, 3]
    assert r["counts"].values.sum((1, 2)).tolist() == [1, 3, 1]
    assert r["counts"].values[1].tolist() == [[0, 1], [2, 0], [0, 0]]
    assert r["kind"].values.tolist() == ["a", "b", "a"] and not r.attrs["continuous"]


def test_windows_around_an_event_may_overlap_and_start_before_it():
    r = preprocess(_trials(), _entry(bin_ms=500, window_ms=(-500, 500)))
    assert r["time"].values.tolist() == [-0.5, 0.0] and r["valid"].values.all()
    assert r["counts"].values.sum((1, 2)).tolist() == [1, 3, 1]
    assert r["start"].values.tolist() == pytest.approx([-0.1, 1.0, 2.5])


def test_units_are_selected_by_label():
    r = preprocess(_trials(), _entry(bin_ms=500, select={"area": ["Y"]}))
    assert r["unit"].values.tolist() == ["v"] and r["area"].values.tolist() == ["Y"]
    assert r["counts"].values.sum() == 2 and rec.dirt(r)["units_not_selected"] == 1
    with pytest.raises(CortseqError, match=r"select\.area.*no unit is left.*Z.*X.*Y"):
        preprocess(_trials(), _entry(select={"area": ["Z"]}))
    with pytest.raises(CortseqError, match=r"select\.layer.*no such label.*area"):
        preprocess(_trials(), _entry(select={"layer": [1]}))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"bin_ms": 15}, "bin_ms: is not a multiple"),
        ({"bin_ms": 500, "window_ms": 300}, "bin_ms.*wider than the trial"),
        ({"window_ms": 5000}, "no window fits"),
    ],
)
def test_impossible_bins_and_windows_name_the_key(entry, words):
    with pytest.raises(CortseqError, match=words):
        preprocess(_continuous(np.arange(60) * 0.01, np.ones((60, 1))), _entry(**entry))


def test_dirt_is_counted():
    import json

    counts = np.ones((60, 1))
    counts[:30] = 0
    r = preprocess(_continuous(np.arange(60) * 0.01, counts), _entry(window_ms=300))
    assert json.loads(r.attrs["dirt"]) == {"trials_without_spikes_kept": 1}


def test_a_clock_among_the_units_of_trials_of_unequal_length():
    parts = [np.stack([np.arange(n), np.ones(n)], 1).astype(int) for n in (40, 60)]
    raw = unequal(parts, "counts", ("trial", "time", "unit"), file=None, key="c").assign_attrs(bin_width=0.01)
    assert [sign.name for sign in of_samples(raw, _entry())] == ["clock_channel"]
    parts = [part[:, ::-1] + [1, 0] for part in parts]
    raw = unequal(parts, "signal", ("trial", "time", "channel"), file=None, key="c")
    assert without_clocks(raw)["channel"].values.tolist() == [0]
