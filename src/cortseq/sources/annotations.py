"""Annotated vocalisations: the syllables of a song, one song per sequence.

Koumura & Okanoya 2016, PLoS ONE 11:e0159188. In their files a song is one sound file; its annotation
may come in several stretches, which are joined in order. Other formats are those that crowsetta reads
(Nicholson 2023, J Open Source Software 8:5338).
"""

from __future__ import annotations

import itertools
import operator
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from xml.etree import ElementTree

import numpy as np
from pydantic import Field, model_validator

from cortseq._lazy import xr
from cortseq.errors import CortseqError, MissingExtra
from cortseq.sources import matlab
from cortseq.sources.base import Proposal, SymbolSource
from cortseq.sources.sequences import symbol_dataset
from cortseq.sources.summaries import summarise_symbols

Format = Literal[
    "birdsong-recognition-dataset",
    "bengalese-finch-mat",
    "aud-seq",
    "aud-bbox",
    "generic-seq",
    "notmat",
    "raven",
    "simple-seq",
    "textgrid",
    "timit",
    "yarden",
]


class Annotations(SymbolSource):
    """`source: annotations`: syllable labels of songs, onsets left aside.

    `format` is a name of crowsetta's, or `bengalese-finch-mat`. With `files` (`"*.not.mat"`, say) `path` is a
    folder and every file of it that fits, in the order of their names, is a sequence. A TextGrid of several
    tiers needs `tier`; a table of Raven needs `column` where the labels do not stand in `Annotation`.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".xml", ".mat", ".textgrid", ".phn", ".wrd", ".txt", ".csv")

    source: Literal["annotations"] = "annotations"
    format: Format = Field(description="how the file is written")
    files: str | None = Field(None, min_length=1, description="pattern of the files, where path is a folder")
    tier: str | None = Field(None, description="textgrid: name of the tier to read")
    column: str = Field("Annotation", description="raven: column of the labels")
    alphabet: list[str] | None = Field(
        None, description="the labels that may occur, in order; default: all found"
    )

    @model_validator(mode="after")
    def _fits_format(self) -> Self:
        for key, form in (("tier", "textgrid"), ("column", "raven")):
            if getattr(self, key) != type(self).model_fields[key].default and self.format != form:
                raise ValueError(f"{key}: belongs to format {form} -- remove it")
        if self.files and ("/" in self.files or ".." in self.files):
            raise ValueError("files: is a pattern of names in the folder, without a /")
        return self

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names of the files that make up the recording; empty where `path` is one file."""
        return (self.files,) if self.files else ()

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the file, or the files of the folder, into a raw Dataset; see `Source.load`."""
        assert file is not None
        files = sorted(f for f in file.glob(self.files) if f.is_file()) if self.files else [file]
        if not files:
            raise CortseqError("no file of the folder fits", file=file, key="files", value=self.files)
        sequences = [sequence for each in files for sequence in self._read(each)]
        return symbol_dataset(sequences, file=file, alphabet=self.alphabet)

    def _read(self, file: Path) -> list[list[str]]:
        if self.format in READERS:
            return READERS[self.format](file)
        return _crowsetta(file, self)

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact."""
        forms = _formats(file)
        if not forms:
            raise CortseqError("is no annotation of a known format", file=file, fix="name another source")
        if forms == ["textgrid"] and (tiers := _tiers(file)):
            return [f"kind: TextGrid with tiers {tiers} (source: annotations, format: textgrid)"]
        raw = cls.model_validate({"path": str(file), "format": forms[0]}).load(file, 0)
        return summarise_symbols(raw, f"symbols, songs (source: annotations, format: {forms[0]})")

    @classmethod
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the file."""
        found = []
        for form in _formats(file):
            entry: dict[str, Any] = {"source": "annotations", "format": form}
            notes = {}
            if form == "textgrid" and (tiers := _tiers(file)):
                entry["tier"], notes["tier"] = tiers[-1], f"GUESS: one of {tiers}"
            found.append(Proposal(entry, notes, sure=0.97))
        return found


def _tiers(file: Path) -> list[str]:
    """Return names of the tiers of intervals of a TextGrid; [] where there is one only."""
    import crowsetta

    grid = crowsetta.formats.by_name("textgrid").from_file(file)
    names = [str(tier.name) for tier in grid.tiers if hasattr(tier, "intervals")]
    return names if len(names) > 1 else []


def _formats(file: Path) -> list[str]:
    """Return formats that the name and the first line of a file allow."""
    name = file.name.lower()
    known = {
        ".xml": "birdsong-recognition-dataset",
        ".textgrid": "textgrid",
        ".phn": "timit",
        ".wrd": "timit",
    }
    if name.endswith(".mat"):
        return ["notmat"] if name.endswith(".not.mat") else ["bengalese-finch-mat"]
    if file.suffix.lower() in known:
        return [known[file.suffix.lower()]]
    with open(file, encoding="utf-8", errors="replace") as lines:
        first = lines.readline(4096).rstrip("\r\n")
    fields = first.split("\t")
    if fields[0] == "Selection":
        return ["raven"]
    if {"label", "onset_s", "offset_s", "notated_path"} <= set(first.split(",")):
        return ["generic-seq"]
    numbers = [field.replace(".", "", 1).isdigit() for field in fields]
    return ["aud-seq"] if len(fields) == 3 and numbers[:2] == [True, True] and "." in fields[0] else []


def _crowsetta(file: Path, entry: Annotations) -> list[list[str]]:
    """Return the labels of every sequence that crowsetta finds in a file."""
    try:
        import crowsetta
    except ImportError as error:
        raise MissingExtra("crowsetta", "annotations", file) from error
    options: dict[str, Any] = {"raven": {"annot_col": entry.column}}.get(entry.format, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = crowsetta.formats.by_name(entry.format).from_file(file, **options)
            if entry.format == "timit":  # its times are samples of a sound file that is not needed here
                return [[str(label) for label in loaded.text]]
            if entry.format == "textgrid":
                return [[str(label) for label in loaded.to_seq(tier=_tier(loaded, entry, file)).labels]]
            found = loaded.to_annot()
        except CortseqError:
            raise
        except Exception as error:  # each format raises kinds of its own
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise CortseqError(
                f"is not an annotation of the format {entry.format} ({reason})",
                file=file,
                fix="check `format:`",
            ) from error
    annotations = found if isinstance(found, list) else [found]
    return [labels for annotation in annotations for labels in _labels_of(annotation)]


def _labels_of(annotation: Any) -> list[list[str]]:
    """Return the labels of every sequence in an annotation, in the order of their onsets."""
    if boxes := getattr(annotation, "bboxes", None):
        return [[str(box.label) for box in sorted(boxes, key=lambda box: box.onset)]]
    sequences = annotation.seq if isinstance(annotation.seq, list) else [annotation.seq]
    return [[str(label) for label in sequence.labels] for sequence in sequences]


def _tier(grid: Any, entry: Annotations, file: Path) -> str:
    """Return the name of the one tier of intervals that a TextGrid has, or that the entry asks for."""
    names = [str(tier.name) for tier in grid.tiers if hasattr(tier, "intervals")]
    if entry.tier is None and len(names) == 1:
        return names[0]
    if entry.tier is None or names.count(entry.tier) != 1:
        raise CortseqError(
            "the file has no such tier" if entry.tier else f"the file has {len(names)} tiers of intervals",
            file=file,
            key="tier",
            value=entry.tier,
            fix=f"choose one of {names}",
        )
    return str(entry.tier)


def _birdsong_recognition(file: Path) -> list[list[str]]:
    """Return the labels of each sound file, whose annotation may come in several stretches in a row."""
    try:
        stretches = [_stretch(part) for part in ElementTree.parse(file).iter("Sequence")]
        if not stretches:
            raise ValueError("no Sequence in it")
    except (ElementTree.ParseError, AttributeError, TypeError, ValueError, LookupError, OSError) as error:
        raise CortseqError(
            f"is not an annotation of the birdsong-recognition dataset ({error})",
            file=file,
            fix="check `format:`",
        ) from error
    songs = itertools.groupby(stretches, key=operator.itemgetter(0))
    return [[label for _, labels in parts for label in labels] for _, parts in songs]


def _stretch(part: ElementTree.Element) -> tuple[str, list[str]]:
    """Return the sound file of one stretch and the labels of its notes, all of which have a place in it."""
    notes = list(part.iter("Note"))
    for timed in (part, *notes):
        for name in ("Position", "Length"):
            int(_text(timed, name))
    return _text(part, "WaveFileName"), [_text(note, "Label") for note in notes]


def _text(part: ElementTree.Element, name: str) -> str:
    found = part.findtext(name)
    if not found:
        raise ValueError(f"{part.tag} without {name}")
    return found


def _bengalese_finch_mat(file: Path) -> list[list[str]]:
    """Return labels of songs in a struct array `elements`, which the format `yarden` has too."""
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


def _label(value: Any) -> str:
    """Read syllable types, whole numbers that MATLAB stores as doubles."""
    if isinstance(value, str):
        return str(value)
    if not np.isfinite(value) or value != int(value):
        raise ValueError(f"segType {value} is no label")
    return str(int(value))


def _notmat(file: Path) -> list[list[str]]:
    """Return the labels of one song that evsonganaly saved: one letter per syllable."""
    labels = matlab.read(file).get("labels")
    if not isinstance(labels, str):
        raise CortseqError("holds no text of labels", file=file, key="labels", fix="check `format:`")
    return [list(labels)]


READERS: dict[str, Callable[[Path], list[list[str]]]] = {
    "birdsong-recognition-dataset": _birdsong_recognition,
    "bengalese-finch-mat": _bengalese_finch_mat,
    "notmat": _notmat,
    "yarden": _bengalese_finch_mat,
}

SOURCE = Annotations
