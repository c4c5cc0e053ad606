"""Annotated vocalisations: the syllables of a song, one song per sequence.

Koumura & Okanoya 2016, PLoS ONE 11:e0159188. In their files a song is one sound file; its annotation
may come in several stretches, which are joined in order.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal
from xml.etree.ElementTree import ParseError

import numpy as np
import xarray as xr
from pydantic import Field

from cortseq.errors import CortseqError, MissingExtra
from cortseq.sources import matlab
from cortseq.sources.base import SymbolSource, summarise_symbols, symbol_dataset

Format = Literal["birdsong-recognition-dataset", "bengalese-finch-mat"]


class Annotations(SymbolSource):
    """`source: annotations`: syllable labels of songs, onsets left aside."""

    suffixes: ClassVar[tuple[str, ...]] = (".xml", ".mat")

    source: Literal["annotations"] = "annotations"
    format: Format = Field(description="how the file is written")
    alphabet: list[str] | None = Field(
        None, description="the labels that may occur, in order; default: all found"
    )

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the file into a raw Dataset; see `Source.load`."""
        assert file is not None
        return symbol_dataset(READERS[self.format](file), file=file, alphabet=self.alphabet)

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact."""
        known: dict[str, Format] = {".xml": "birdsong-recognition-dataset", ".mat": "bengalese-finch-mat"}
        form = known[file.suffix.lower()]
        raw = cls.model_validate({"path": str(file), "format": form}).load(file, 0)
        return summarise_symbols(raw, f"symbols, songs (source: annotations, format: {form})")


def _birdsong_recognition(file: Path) -> list[list[str]]:
    try:
        from crowsetta.formats.seq import BirdsongRec
    except ImportError as error:
        raise MissingExtra("crowsetta", "annotations", file) from error
    try:
        songs = BirdsongRec.from_file(file, concat_seqs_into_songs=True).sequences
    except (ParseError, AttributeError, IndexError, ValueError) as error:
        raise CortseqError(
            f"is not an annotation of the birdsong-recognition dataset ({error})",
            file=file,
            fix="check `format:`",
        ) from error
    return [[syllable.label for syllable in song.syls] for song in songs]


def _bengalese_finch_mat(file: Path) -> list[list[str]]:
    content = matlab.read(file)
    if "elements" not in content:
        raise CortseqError(
            "no such variable", file=file, key="elements", fix=f"the file holds {sorted(content)}"
        )
    elements = content["elements"]
    songs = elements if isinstance(elements, list) else [elements]
    try:
        types = [matlab.as_array(song["segType"]) for song in songs]
        return [[_label(x) for x in values.ravel()] for values in types if values is not None]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CortseqError(
            f"is not a MATLAB file of songs with elements.segType ({error})", file=file, fix="check `format:`"
        ) from error


def _label(value) -> str:
    """Read syllable types, whole numbers that MATLAB stores as doubles."""
    if isinstance(value, str):
        return str(value)
    if not np.isfinite(value) or value != int(value):
        raise ValueError(f"segType {value} is no label")
    return str(int(value))


READERS = {"birdsong-recognition-dataset": _birdsong_recognition, "bengalese-finch-mat": _bengalese_finch_mat}

SOURCE = Annotations
