"""Binary exports of Trodes, the recorder of SpikeGadgets: tracked positions and other records beside spikes.

A file begins with lines of settings between `<Start settings>` and `<End settings>`, the last of which,
`Fields: <time uint32><xloc uint16>...`, says what each record holds; the records follow, little-endian.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from cortseq.errors import CortseqError
from cortseq.sources.archive import Archive

_BEGIN, _END = b"<Start settings>", b"<End settings>\n"
_HEADER = 1 << 16  # bytes in which the settings must end
_FIELD = re.compile(r"<(\w+) (?:(\d+)\*)?(u?int(?:8|16|32|64)|single|double|float)>")
_TYPES = {"single": "<f4", "float": "<f4", "double": "<f8"}


class Trodes(Archive):
    """The fields of a file as arrays (record,); `time` in seconds of the recorder's clock."""

    item: ClassVar[str] = "field"

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        content = file.read_bytes()
        end = content[:_HEADER].find(_END)
        if end < 0:
            raise self._damaged("its settings do not end")
        lines = content[:end].decode("latin-1").splitlines()
        settings = dict(line.split(":", 1) for line in lines if ":" in line)
        fields = _FIELD.findall(settings.get("Fields", ""))
        if not fields:
            raise self._damaged("its settings name no fields")
        kinds = [(name, _type(kind), *([(int(n),)] if n else [])) for name, n, kind in fields]
        record, body = np.dtype(kinds), content[end + len(_END) :]
        if len(body) % record.itemsize:
            raise self._damaged("it ends within a record")
        self._records = np.frombuffer(body, record)
        self._rate = _number(settings.get("clockrate") or settings.get("Clockrate"))
        if "time" in self.keys and self._rate is None:
            raise self._damaged("its settings name no clockrate")

    @staticmethod
    def opens(file: Path) -> bool:
        """Return whether a file is one."""
        if not file.is_file():
            return False
        with file.open("rb") as stream:
            return stream.read(len(_BEGIN)) == _BEGIN

    @property
    def keys(self) -> list[str]:
        """Return the names of the fields, in order."""
        return list(self._records.dtype.names or ())

    def read(self, key: str) -> np.ndarray:
        """Return a field (record,) or (record, n); times in s."""
        values = self._records[key]
        return values / self._rate if key == "time" and self._rate else values

    def _damaged(self, why: str) -> CortseqError:
        return CortseqError(f"is no whole export of Trodes: {why}", file=self.file, fix="copy the file again")


def _type(kind: str) -> str:
    if kind in _TYPES:
        return _TYPES[kind]
    sign, bits = kind.split("int")
    return f"<{sign or 'i'}{int(bits) // 8}"


def _number(text: str | None) -> float | None:
    try:
        return float(text or "") or None
    except ValueError:
        return None
