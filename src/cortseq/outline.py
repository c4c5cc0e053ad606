"""The study that `cortseq new` writes: an entry for each recording, and models for a first look."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from cortseq import pairing, proposing
from cortseq.download import allowed
from cortseq.entries import slug
from cortseq.errors import CortseqError
from cortseq.proposing import Draft
from cortseq.signs.trials import few_blocks


def study(given: list[str], out: Path) -> str:
    """Return the text of a study of the recordings, one dataset each; paths are relative to its folder.

    A table of trials (a row per trial, a column named after its start) that is given with spikes on one clock
    is no dataset: it becomes the key `trials:` of the recording named before it, or after it where it
    stands first. Tables named one after another belong to as many recordings before them, in their order;
    a recording has one at most.

    Parameters
    ----------
    given : recordings and tables of trials: files, folders, or addresses of files on a web server.
    out : where the study is to be written.

    Raises
    ------
    CortseqError : a file for which no entry is found, a table that no recording is left for, one line each.
    """
    places = [name if allowed(name) else Path(name) for name in given]
    tables = _tables(places)
    drafts: dict[int, Draft] = {}
    faults: list[str] = []
    for number, place in enumerate(places):
        try:
            if number not in tables:
                drafts[number] = _draft(place)
        except CortseqError as error:
            faults += str(error).splitlines()
    if faults:  # whose the tables are is known where all recordings are
        raise CortseqError("\n".join(faults))
    found = {i: pairing.spike_times(draft) for i, draft in drafts.items()} if tables else {}
    spikes = {i: times for i, times in found.items() if times is not None}
    owners = _owners(sorted(tables), sorted(spikes))
    for number, table in tables.items():
        try:
            if number in owners:
                owner = owners[number]
                drafts[owner] = pairing.joined(drafts[owner], table, spikes[owner])
            elif spikes:
                raise _without_recording(places[number])
            else:
                drafts[number] = _draft(places[number])
        except CortseqError as error:
            faults += str(error).splitlines()
    if faults:
        raise CortseqError("\n".join(faults))
    return _text([drafts[number] for number in sorted(drafts)], out)


def _draft(place: Path | str) -> Draft:
    if isinstance(place, Path) and not place.exists():
        raise CortseqError("no such file", file=place, fix="check the path")
    return proposing.draft(place)


def _tables(places: list[Path | str]) -> dict[int, dict[str, Any]]:
    """Return `trials:` of each file that looks like a table of trials, by position; a single file is none."""
    if len(places) < 2:
        return {}
    found = {i: pairing.table_of(p) for i, p in enumerate(places) if isinstance(p, Path)}
    return {i: table for i, table in found.items() if table is not None}


def _owners(tables: list[int], able: list[int]) -> dict[int, int]:
    """Return the position of the recording of each table; tables that no recording is left for are not in it.

    Parameters
    ----------
    tables, able : positions, ascending, of the tables and of the recordings of spikes that take one.
    """
    owners: dict[int, int] = {}
    for _, run in itertools.groupby(tables, key=lambda i: i - tables.index(i)):  # tables in a row
        row = list(run)
        free = [i for i in able if i not in owners.values()]
        before = [i for i in free if i < row[0]][-len(row) :]
        owners |= dict(zip(row, before + [i for i in free if i > row[-1]], strict=False))
    return owners


def _without_recording(place: Path | str) -> CortseqError:
    return CortseqError(
        "no recording is left for this table of trials, each has one at most",
        file=place,
        fix="name it after its recording, or leave it out",
    )


def _text(drafts: list[Draft], out: Path) -> str:
    head = _HEAD.format(name=slug(out.stem) or "mine", folds=_folds(drafts))
    lines = [*head.splitlines(), "datasets:"]
    names: set[str] = set()
    for found in drafts:
        base, number = found.name, 2
        while found.name in names:
            found.name, number = f"{base}_{number}", number + 1
        names.add(found.name)
        lines += [f"  # {text}" for text in _described(found)]
        lines += found.lines(out.parent)
    return "\n".join([*lines, *_TAIL.splitlines()]) + "\n"


def _folds(drafts: list[Draft]) -> str:
    """Return the line of `folds`: several where one split of a recording tests too little for any verdict."""
    few = min(draft.test_blocks for draft in drafts)
    shortest = min(draft.recording.sizes["trial"] for draft in drafts if draft.recording is not None)
    if few_blocks(few) and shortest >= _FEWEST:
        why = f"one split would leave {few} independent block{'s' * (few != 1)} of them: no verdict"
        return f"folds: {_MANY}      # every trial is tested once; {why}"
    return "folds: 1      # k > 1: every trial is tested once"


def _described(found: Draft) -> list[str]:
    recording = found.recording
    assert recording is not None
    sizes = ", ".join(
        f"{n} {name}s" for name, n in recording.sizes.items() if name in ("trial", "unit", "channel")
    )
    bins = f"{recording.sizes['time']} bins of {1e3 * recording.attrs['bin_width']:g} ms at most"
    return [
        f"{sizes}, {bins}"
        if "n_symbols" not in recording.attrs
        else f"{recording.sizes['trial']} sequences of labels"
    ]


_MANY = 5  # folds
_FEWEST = 2 * _MANY  # trials or windows that can be dealt into so many folds

_HEAD = """\
# Written by `cortseq new`. GUESS marks what the files do not say: correct it where you know better.
# `cortseq check` says what is read and what is odd; then run it.
study: {name}
seed: 0
{folds}
members: 3    # random restarts of every network"""

_TAIL = """\
# A first look: mean over trials, Markov chains, hidden Markov models, a regression, one recurrent network.
# Without `models:` the standard set is compared: more sizes of these, and networks lstm, esn, dale, stp.
models:
  psth: {family: psth}
  markov: {family: markov, states: [8, 16], order: [1, 2]}
  hmm: {family: hmm, states: [8, 16]}
  glm: {family: glm}
  rate: {family: rate}
"""
