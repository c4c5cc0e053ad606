"""Make converted_Bird4.mat of the study `song` from the Annotation.xml of that bird in figshare 3470165.

    python data/convert_song.py Bird4/Annotation.xml data/raw/converted_Bird4.mat

Sequences of one sound file become one song. Of Bird 0, whose annotation ships in the package crowsetta, it
makes the songs of the known conversion. Koumura & Okanoya 2016 PLoS ONE 11:e0159188, CC BY 4.0.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from scipy.io import savemat

RATE = 32000  # samples/s of the sound files


def songs(annotation: Path) -> dict[str, np.ndarray]:
    """Return sound file -> (syllable, 3): start and end in s (to the ms), label."""
    found: dict[str, list[list[float]]] = {}
    for sequence in ElementTree.parse(annotation).getroot().iter("Sequence"):
        rows = found.setdefault(str(sequence.findtext("WaveFileName")), [])
        origin = int(str(sequence.findtext("Position")))
        for note in sequence.iter("Note"):
            first, n = (int(str(note.findtext(key))) for key in ("Position", "Length"))
            start = origin + first
            rows.append([start / RATE, (start + n) / RATE, int(str(note.findtext("Label")))])
    return {name: np.round(np.array(rows, float).reshape(-1, 3), 3) for name, rows in found.items()}


def convert(annotation: Path, out: Path) -> int:
    """Write the songs as MATLAB variables `keys` and `elements`; return how many there are."""
    found = songs(annotation)
    elements, keys = np.empty((1, len(found)), object), np.empty((1, len(found)), object)
    for k, (name, rows) in enumerate(found.items()):
        keys[0, k] = name
        elements[0, k] = {
            "filenum": str(k), "segFileStartTimes": rows[:, 0], "segFileEndTimes": rows[:, 1],
            "segType": rows[:, 2:], "fs": RATE,
        }  # fmt: skip
    savemat(out, {"keys": keys, "elements": elements})
    return len(found)


if __name__ == "__main__":
    sys.stdout.write(f"{convert(Path(sys.argv[1]), Path(sys.argv[2]))} songs\n")
