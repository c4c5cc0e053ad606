"""Made-up recordings as labs have them, each with something that is easily misread; rates are constant."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml

from cortseq.cli import main


def train(rng, rate: float, first: float, last: float) -> np.ndarray:
    """Times of a Poisson process."""
    return np.sort(rng.uniform(first, last, rng.poisson(rate * (last - first))))


def nwb(file: Path, units: list[dict], trials=()) -> Path:
    """An NWB file of `units` (keys of `add_unit`) and `trials` (start, stop)."""
    pynwb = pytest.importorskip("pynwb")
    content = pynwb.NWBFile("made up", file.stem, datetime(2024, 1, 1, tzinfo=UTC))
    for start, stop in trials:
        content.add_trial(start_time=float(start), stop_time=float(stop))
    for unit in units:
        content.add_unit(**unit)
    with pynwb.NWBHDF5IO(str(file), "w") as io:
        io.write(content)
    return file


def steps(n=40, every=3.0, length=2.0, first=10.0):
    """Trials (start, stop) at equal distances."""
    return [(first + every * k, first + every * k + length) for k in range(n)]


def check(capsys, folder: Path, **entry) -> tuple[int, dict, str]:
    """Exit status, facts and errors of `cortseq check --json` on a study of one dataset."""
    import json

    file = folder / "s.yaml"
    file.write_text(yaml.safe_dump({"study": "s", "datasets": {"d": entry}}))
    status = main(["check", str(file), "--json"])
    output = capsys.readouterr()
    found = json.loads(output.out)["datasets"]
    assert "Traceback" not in output.err
    assert all(line.startswith(str(file)) for line in output.err.splitlines())
    return status, found[0] if found else {}, output.err
