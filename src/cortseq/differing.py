"""What differs between two results folders: settings, data, code and versions, choices, scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cortseq import store
from cortseq._lazy import pd
from cortseq.errors import CortseqError
from cortseq.scoring import failures

_SCORES = ("value", "gain_over_markov", "gain_over_rival")
# Of a fit's card, beside its model.
_MADE_BY = (
    "failed",
    "versions",
    "commit",
    "device",
    "trials_sha256",
    "seed",
    "members",
    "failed_members",
    "observation",
    "bin_width",
    "n_inputs",
    "learned_sha256",
)


def lines(first: Path, second: Path) -> list[str]:
    """Return a line for everything that differs between two studies' results; none where nothing does.

    Parameters
    ----------
    first, second : results/<study> of two finished studies, or of two runs of one.

    Raises
    ------
    CortseqError : a folder without a comparison.
    """
    tables = [_comparison(folder) for folder in (first, second)]
    cards = [_cards(folder) for folder in (first, second)]
    return [*_fits(*cards), *_choices(*tables), *_scores(*tables)]


def _comparison(folder: Path) -> pd.DataFrame:
    """Return the rows of models that have a score, by dataset and model."""
    file = folder / "comparison.csv"
    if not file.is_file():
        raise CortseqError("no finished study here", file=file, fix="run the study first: cortseq run")
    table, _ = failures.split(store.read_table(file))
    return table[~table["averaged"].astype(bool)].set_index(["dataset", "model"])


def _cards(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the cards of all fits by "dataset/variant/fold"; of one that failed, why."""
    found = {}
    for file in sorted((folder / "fits").rglob("*.json")):
        why = store.failure(file)
        name = "/".join(file.relative_to(folder / "fits").with_suffix("").parts)
        found[name] = {"failed": why} if why else store.read_json(file)
    return found


def _fits(a: dict[str, dict[str, Any]], b: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield what differs in the fits: which there are, their settings, and what they were made with."""
    for name in sorted(a.keys() ^ b.keys()):
        yield f"fits: {name} is in the {'first' if name in a else 'second'} alone"
    together: dict[str, list[str]] = {}
    for name in sorted(a.keys() & b.keys()):
        first, second = (_flat(card) for card in (a[name], b[name]))
        for key in sorted(first.keys() | second.keys()):
            if first.get(key) != second.get(key):
                what = f"{key}: {first.get(key, 'not there')} | {second.get(key, 'not there')}"
                together.setdefault(what, []).append(name)
    for what, names in together.items():
        few = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        yield f"fits: {what}  ({few})"


def _flat(card: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a fit, and what it was made with, by dotted names."""
    found = {f"model.{key}": value for key, value in card.get("model", {}).items()}
    for key in (key for key in _MADE_BY if key in card):
        value = card[key]
        inner = value.items() if isinstance(value, dict) else ()
        found |= {f"{key}.{name}": item for name, item in inner} if inner else {key: value}
    return found


def _choices(a: pd.DataFrame, b: pd.DataFrame) -> Iterator[str]:
    """Yield which models there are, the variants that validation chose, and the words that are said."""
    for key in a.index.symmetric_difference(b.index):
        yield f"models: {'/'.join(key)} is in the {'first' if key in a.index else 'second'} alone"
    for key in a.index.intersection(b.index):
        for column in ("variant", "reference", "rival", "against_chain", "against_rival", "learning"):
            first, second = (str(table.loc[key].get(column, "")) for table in (a, b))
            if first != second:
                yield f"choices: {'/'.join(key)} {column}: {first} | {second}"


def _scores(a: pd.DataFrame, b: pd.DataFrame) -> Iterator[str]:
    """Yield the scores that differ, and by how much."""
    for key in a.index.intersection(b.index):
        for column in _SCORES:
            first, second = (float(pd.to_numeric(table.loc[key, column])) for table in (a, b))
            if first != second and not (np.isnan(first) and np.isnan(second)):
                yield f"scores: {'/'.join(key)} {column}: {first:.6g} | {second:.6g}  ({second - first:+.2g})"
