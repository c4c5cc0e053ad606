"""Every layout of tests/layouts.py: each bin equals plain arithmetic, and `cortseq new` finds what it says it finds."""

from pathlib import Path

import numpy as np
import pytest
from layouts import DOCUMENT, LAYOUTS, _nwb, _save, ranges, read, running, summary, table

from cortseq import cli, study
from cortseq.errors import CortseqError
from cortseq.sources import base
from cortseq.sources.nwb import Nwb
from cortseq.sources.remote import BLOCK, RemoteFile


def need(name: str) -> None:
    if LAYOUTS[name].package:
        pytest.importorskip(LAYOUTS[name].package)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_bin_is_what_was_made(name):
    need(name)
    recording, expected = read(name)
    if "symbols" in recording:
        labels = np.array(recording.attrs["labels"])
        found = [
            list(labels[row[ok]])
            for row, ok in zip(recording.symbols.values, recording.valid.values, strict=True)
        ]
        assert found == expected
        return
    track = "counts" if "counts" in recording else "signal"
    values = recording[track].transpose("trial", "time", ...).values
    assert values.shape == expected.shape
    np.testing.assert_allclose(values, expected, atol=1e-6)


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_load_is_not_given_it_does_not_look_at(name, tmp_path):
    """Else a change of such a key would leave an old recording: here it has no such key at all."""
    need(name)
    made = LAYOUTS[name].make(tmp_path)
    try:
        source = study.validate({"datasets": {"x": made.entry}}, folder=tmp_path).datasets["x"]
        file = Path(source.path) if source.path else None
        expected = source.load(file, 0)
        given = base.given(source, "load")
        blind = type(source).model_validate(given)
        for key in (*base.WORDS, *base.CUT, *base.DEALT):
            if key not in given and key != "covariates" and key not in source.early:
                del blind.__dict__[key]
        assert blind.load(file, 0).identical(expected)
    finally:
        made.close()


@pytest.mark.parametrize("name", [name for name, kind in LAYOUTS.items() if kind.drafted])
def test_new_writes_a_study_that_checks(name, tmp_path, capsys):
    need(name)
    made = LAYOUTS[name].make(tmp_path)
    out = tmp_path / "mine.yaml"
    path, trials = made.entry.get("path"), made.entry.get("trials", {})
    given = [str(tmp_path / path) if path else made.entry["url"]]
    given += [str(tmp_path / trials["path"])] if trials else []
    assert cli.main(["new", *given, "-o", str(out)]) == 0
    assert cli.main(["check", str(out)]) == 0, capsys.readouterr()
    (source,) = study.read(out).datasets.values()
    assert {k: getattr(source.trials, k) for k in ("start", "stop") if k in trials} == {
        k: v for k, v in trials.items() if k in ("start", "stop")
    }
    form = {
        k: v
        for k, v in made.entry.items()
        if k in ("spike_times", "counts", "signal", "symbols", "content", "format")
    }
    assert {k: getattr(source, k) for k in form} == form
    made.close()


def test_the_table_of_formats_is_current():
    for name in LAYOUTS:
        need(name)
    assert DOCUMENT.read_text(encoding="utf-8") == table(), "run python tests/layouts.py"


def test_a_streamed_file_is_not_fetched_whole(tmp_path):
    pynwb = pytest.importorskip("pynwb")
    nwb = _nwb()
    nwb.add_acquisition(
        pynwb.TimeSeries(name="raw", data=np.random.default_rng(0).normal(size=2_000_000), unit="V", rate=3e4)
    )
    _save(nwb, tmp_path / "x.nwb")
    counter = ranges(tmp_path)
    with running(counter) as home:
        raw = Nwb.model_validate({"url": f"{home}/x.nwb", "stream": True}).load(None, 0)
    size = (tmp_path / "x.nwb").stat().st_size
    assert raw.sizes["trial"] == 40 and counter.sent < size / 4
    assert counter.sent >= BLOCK  # what is needed was fetched here, not read from the disk


@pytest.mark.parametrize("url", ["file:///etc/passwd", "data:,x", "ftp://127.0.0.1/x", "http://", "x.nwb"])
def test_only_web_servers_are_streamed_from(url):
    with pytest.raises(CortseqError, match="url: is streamed over http"):
        RemoteFile(url)


def test_a_server_without_ranges_is_refused(tmp_path):
    import http.server

    class Whole(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments): ...

        def do_GET(self):
            self.send_response(302 if self.path == "/there" else 200)
            if self.path == "/there":
                self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            self.wfile.write(b"x" * 100)

    with running(Whole) as home:
        with pytest.raises(CortseqError, match="whole files only"):
            RemoteFile(f"{home}/x.nwb")
        with pytest.raises(CortseqError, match="url: cannot be read"):
            RemoteFile(f"{home}/there")


def test_summaries_are_of_what_was_read(counts, symbols, signal):
    assert summary(counts).startswith("40 trials x 3 units, ") and "sequences" in summary(symbols)
    assert summary(signal) == "30 trials x 2 channels"
