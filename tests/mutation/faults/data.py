"""Sources, binning, preprocessing and recordings: one bin, one trial, one unit of time."""

from mutation.records import Fault

BINNING = ("test_edges.py", "test_binning.py", "test_recording.py")
PREPROCESS = ("test_edges.py", "test_preprocess.py")
SOURCES = ("test_edges.py", "test_array_sources.py", "test_sources.py")
FIELD = ("test_field.py",)
SYNTHETIC = ("test_synthetic.py",)

FAULTS = [
    Fault(
        "A trial of 0.3 s has two bins of 0.1 s: the quotient is not rounded.",
        "n_bins", "np.floor(length / width + EDGE)", "np.floor(length / width)", BINNING,
    ),
    Fault(
        "Spikes go to the nearest edge, not to the bin that holds them.",
        "_by_trial", "np.floor((t[e] - start) / width + EDGE)", "np.floor((t[e] - start) / width + 0.5)", BINNING,
    ),
    Fault(
        "Bins are counted from time 0, not from the start of the window.",
        "_by_trial", "(t[e] - start) / width", "t[e] / width", BINNING,
    ),
    Fault(
        "A spike at the stop of a trial belongs to it.",
        "_by_interval", "if end[i] > t:", "if end[i] >= t:", BINNING,
    ),
    Fault(
        "Spikes of overlapping trials are counted in the last one only.",
        "_by_interval", "while i >= 0 and reach[i] > t:", "while i == last and i >= 0 and reach[i] > t:", BINNING,
    ),
    Fault(
        "The clock of a recording begins at 0, whatever its window.",
        "from_spikes", "time_start=window[0]", "time_start=0.0", BINNING,
    ),
    Fault(
        "The time of a bin is its middle.",
        "_build", "time_start + bin_width * np.arange(n_time)", "time_start + bin_width * (np.arange(n_time) + 0.5)", (*BINNING, *PREPROCESS),
    ),
    Fault(
        "A bin counts as valid while one channel has a sample.",
        "from_signal", "np.isnan(signal).any(-1)", "np.isnan(signal).all(-1)", BINNING,
    ),
    Fault(
        "The support of Conway-Maxwell counts ends at the largest count.",
        "ConwayMaxwell.support_of", "2 * int(y.max(initial=0)) + 20", "int(y.max(initial=0))",
        ("test_edges.py",),
    ),
    Fault(
        "The start of a window is taken for seconds, its stop for milliseconds.",
        "window", "(window[0] / 1e3, window[1] / 1e3)", "(window[0], window[1] / 1e3)", PREPROCESS,
    ),
    Fault(
        "Trials are aligned to their start, not to the event that was asked for.",
        "trial_spans", '"interval_align" if "interval_align" in raw else "interval_start"', '"interval_start"', PREPROCESS,
    ),
    Fault(
        "The clock of aligned trials begins at the event.",
        "_intervals", "window[0] if window else 0.0", "0.0", PREPROCESS,
    ),
    Fault(
        "A behaviour series is read at the left edge of each bin.",
        "with_series", 'sizes["time"]) + 0.5)', 'sizes["time"]) + 0.0)', PREPROCESS,
    ),
    Fault(
        "A behaviour series is read at the sample after each time.",
        "nearest_in_time", "left = right - (wanted - times[right - 1] <= times[right] - wanted)", "left = right", PREPROCESS,
    ),
    Fault(
        "Signals are summed over the samples of a bin, like counts.",
        "_rebin", "blocks.sum() if track.has_events else blocks.mean()", "blocks.sum()", PREPROCESS,
    ),
    Fault(
        "Labels of a wider bin are those of its first sample.",
        "_rebin", "slice(factor // 2, None, factor)", "slice(0, None, factor)", PREPROCESS,
    ),
    Fault(
        "Windows span the sample after a gap.",
        "gaps", "if native < MIN_GAP else 0.0)) + 1", "if native < MIN_GAP else 0.0))", PREPROCESS,
    ),
    Fault(
        "A window of samples stops a sample early.",
        "_cut", "time[index[:, -1]] + native", "time[index[:, -1]]", PREPROCESS,
    ),
    Fault(
        "Parts of a recording that meet share a trial.",
        "chosen", "slice(first, last)", "slice(first, last + 1)", (*PREPROCESS, "test_forgetting.py -k part"),
    ),
    Fault(
        "A trial has one valid bin too many.",
        "events", "< n_bins[:, None]", "<= n_bins[:, None]", PREPROCESS,
    ),
    Fault(
        "Spikes of units that were not selected stay.",
        "_select", "isel(event=np.flatnonzero(unit >= 0))", "isel(event=np.arange(len(unit)))", PREPROCESS,
    ),
    Fault(
        "Microseconds are read as milliseconds.",
        "SECONDS", '"us": 1e-6', '"us": 1e-3', SOURCES,
    ),
    Fault(
        "Trials that are counted from 1 are shifted by one.",
        "ArraySpikes._load_spikes", "times) - self.first_trial", "times)", SOURCES,
    ),
    Fault(
        "The frame rate is taken for a width.",
        "Sampled.native", "1 / self.frame_rate_hz", "self.frame_rate_hz / 1e3", SOURCES,
    ),
    Fault(
        "The clock of the file is not scaled to seconds.",
        "ArrayDense._with_time", 'key=f"time: {self.time}") * SECONDS[self.time_unit]', 'key=f"time: {self.time}")', SOURCES,
    ),
    Fault(
        "The width of a sample is the mean step, gaps included.",
        "step", "width = float(np.median(steps))", "width = float(np.mean(steps))", SOURCES,
    ),
    Fault(
        "The neuropil is added to the fluorescence.",
        "Suite2p._plane", "values - self.neuropil * neuropil", "values + self.neuropil * neuropil", SOURCES,
    ),
    Fault(
        "Regions that were classified by hand as no cells are kept by their probability.",
        "Suite2p._cells", "(table[:, 0] > 0) & (table", "(table", SOURCES,
    ),
    Fault(
        "A series of an NWB file begins at 0.",
        "Clock.times", "(self._series.starting_time or 0.0) + numbers", "numbers", SOURCES,
    ),
    Fault(
        "Trials of an NWB file that are too long are kept.",
        "Nwb._with_trials", "keep = known & ~long & aligned", "keep = known & aligned", SOURCES,
    ),
    Fault(
        "Cells of a MATLAB matrix are read row by row.",
        "_Writer.plain", '[self.plain(v) for v in value.ravel("F")]', '[self.plain(v) for v in value.ravel("C")]', SOURCES,
    ),
    Fault(
        "Spikes of Neo's segments are on the clock of the file, not of the segment.",
        "_spikes", 't - float(s.spiketrains[i].t_start.rescale("s")) for t, s', 't + 0 * float(s.spiketrains[i].t_start.rescale("s")) for t, s', SOURCES,
    ),
    Fault(
        "The exact filter of a hidden chain uses transposed transitions.",
        "forward_filter", "log_prob[:, t, None]) @ transition", "log_prob[:, t, None]) @ transition.T", SYNTHETIC,
    ),
    Fault(
        "The states of a generated chain dwell a bin too long.",
        "hmm", "leave = min(1.0, bin_ms / dwell_ms)", "leave = min(1.0, bin_ms / (dwell_ms + bin_ms))", SYNTHETIC,
    ),
    Fault(
        "Entropy rates of generated symbols are in nats.",
        "_symbols", "float(entropy_rate / np.log(2))", "float(entropy_rate)", SYNTHETIC,
    ),
    Fault(
        "Time outside of obs_intervals is silence.",
        "_masked", "seen = valid & observed.covered(first, first + width, pieces, slack=1e-6 * width)", "seen = valid", FIELD,
    ),
    Fault(
        "Time in which one unit was observed counts as observed by all.",
        "stretches", "== len(merged)", ">= 1", FIELD,
    ),
    Fault(
        "Spikes that repeat another one stay.",
        "tidy", "order = np.flatnonzero(~same) if isinstance(order, slice) else order[~same]", "pass", (*FIELD, *SOURCES),
    ),
    Fault(
        "A clock that restarts once is taken for jitter.",
        "_restarts", "per_unit > 0", "per_unit > 1", FIELD,
    ),
    Fault(
        "Sample numbers are multiplied by their rate.",
        "clocked", 'raw["event_time"] / source.sampling_rate_hz', 'raw["event_time"] * source.sampling_rate_hz', FIELD,
    ),
    Fault(
        "Zeros that pad a row are spikes at 0.",
        "_without_padding", "return row[:end] if", "return row if", FIELD,
    ),
    Fault(
        "A bin that is NaN in one unit only is missing.",
        "missing_bins", "if (np.expand_dims(whole, axis) != missing).any():", "if False:", FIELD,
    ),
    Fault(
        "A wider bin is observed where one of its samples is.",
        "_rebin", 'whole["valid"].astype(int).coarsen(time=factor).min()', 'whole["valid"].astype(int).coarsen(time=factor).max()', FIELD,
    ),
    Fault(
        "A missing label is left out, and its neighbours become neighbours.",
        "symbol_dataset", "valid[valid] = known", "valid[valid] = known | True", FIELD,
    ),
    Fault(
        "A refused sign passes under any accepted name.",
        "accepted", "sign.name in accept and", "", FIELD,
    ),
    Fault(
        "A download that ends early is kept.",
        "_copy", "if expected is not None and n != expected:", "if False:", ("test_users_files.py -k whole",),
    ),
]  # fmt: skip
