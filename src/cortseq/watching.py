"""How far a run is, and how long the rest will take: read from its files while it runs.

The workflow writes an agenda when it begins (`AGENDA`). Notes of steps that were made, and logs of those that
are being made, say how far it is. Nothing is asked of the processes that compute, which may be on other
machines.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortseq import costs
from cortseq.stages import estimate

if TYPE_CHECKING:
    from rich.console import RenderableType

AGENDA = "logs/agenda.json"  # below the study's results
_DOUBT = 20.0  # s: steps of a word that took so long correct an estimate by half
_PAUSE = 0.5  # s between two looks, at least
_TAIL = 400  # bytes of a log that hold its last line
_BAR = 24  # characters
_RUNNING = 6  # steps that are shown


@dataclass(frozen=True)
class Seen:
    """How far a run is.

    Attributes
    ----------
    done : word -> (steps that are made, steps of this run).
    running : name of a step -> the last line of its log.
    seconds : that are left, about.
    """

    done: dict[str, tuple[int, int]]
    running: dict[str, str]
    seconds: float

    @property
    def steps(self) -> tuple[int, int]:
        """Return how many steps are made, of how many."""
        made, of = zip(*self.done.values(), strict=True) if self.done else ((), ())
        return sum(made), sum(of)

    @property
    def line(self) -> str:
        """Return how far it is in a line."""
        made, of = self.steps
        return f"{made} of {of} steps, about {costs.duration(self.seconds)} left"


@dataclass
class Watch:
    """Looks at the files of one run.

    Attributes
    ----------
    out : folder of the study's results.
    begin : when the run began, s since 1970; older files are of earlier runs.
    """

    out: Path
    begin: float
    _agenda: dict[str, Any] = field(default_factory=dict)
    _begun: dict[str, float] = field(default_factory=dict)  # step -> when it was first seen to run
    _made: dict[str, float] = field(default_factory=dict)  # step -> the seconds it took

    def look(self, now: float) -> Seen | None:
        """Return how far the run is at `now`, s since 1970; None before it has begun."""
        if not self._agenda and not self._read():
            return None
        jobs = self._agenda["jobs"]
        for job in jobs:
            self._see(job, now)
        done, of = Counter[str](), Counter[str]()
        for part in (part for job in jobs for part in job["parts"]):
            of[part["word"]] += 1
            done[part["word"]] += part["name"] in self._made
        running = {name: line for name in self._begun if (line := self._last(name))}
        return Seen({word: (done[word], of[word]) for word in of}, running, self._left(now))

    def _read(self) -> bool:
        """Read the agenda of this run, if it is there; steps without notes have the name of their job."""
        file = self.out / AGENDA
        with contextlib.suppress(OSError, ValueError):  # not there, or not whole
            if file.stat().st_mtime >= self.begin:
                self._agenda = json.loads(file.read_text(encoding="utf-8"))
        for job in self._agenda.get("jobs", ()):
            for part in job["parts"]:
                part["name"] = part["name"] if _batched(job) else job["name"]
        return bool(self._agenda)

    def _see(self, job: dict[str, Any], now: float) -> None:
        """Note which steps of a job are made, and which one runs."""
        names = [part["name"] for part in job["parts"]]
        if all(name in self._made for name in names):
            return
        ended = self._last(job["name"]).startswith("done;")
        for name in names:
            taken = self._taken(name) if _batched(job) else None
            if taken is not None or ended:
                self._begun.pop(name, None)
                # what a job found made already took no time, and says nothing of how long others take
                self._made[name] = taken if taken is not None else math.nan
            elif name not in self._begun and self._last(name):
                self._begun[name] = now

    def _taken(self, name: str) -> float | None:
        """Return the seconds that a step took in this run; None: it is not made."""
        note = self.out / f"made/{name}.json"
        with contextlib.suppress(OSError, ValueError):
            if note.stat().st_mtime >= self.begin:
                return float(json.loads(note.read_text(encoding="utf-8")).get("seconds", "nan"))
        return None

    def _last(self, name: str) -> str:
        """Return the last line of a log of this run without its time, "begins" before there is one; or ""."""
        file = self.out / f"logs/{name}.log"
        with contextlib.suppress(OSError):
            if file.stat().st_mtime >= self.begin:
                with file.open("rb") as log:
                    log.seek(max(0, file.stat().st_size - _TAIL))
                    lines = log.read().decode("utf-8", errors="replace").splitlines()
                return re.sub(r"^ *[\d.]+ s  ", "", lines[-1]) if lines else "begins"
        return ""

    def _left(self, now: float) -> float:
        """Return the seconds that the rest will take on the cores of the run."""
        slower, jobs, seconds = self._slower(), [], []
        for job in self._agenda["jobs"]:
            if any(part["name"] not in self._made for part in job["parts"]):
                jobs.append(
                    estimate.Job(job["kind"], job["name"], job["given"], job["made"], [], job["priority"])
                )
                seconds.append(self._rest(job, slower, now))
        return estimate.scheduled(jobs, seconds, self._agenda["cores"])

    def _slower(self) -> dict[str, float]:
        """Return by how much steps of a word take longer here than they were thought to."""
        said, took = defaultdict[str, float](float), defaultdict[str, float](float)
        for part in (part for job in self._agenda["jobs"] for part in job["parts"]):
            taken = self._made.get(part["name"], math.nan)
            said[part["word"]] += 0.0 if math.isnan(taken) else part["seconds"]
            took[part["word"]] += 0.0 if math.isnan(taken) else taken
        return {word: (took[word] + _DOUBT) / (said[word] + _DOUBT) for word in said}

    def _rest(self, job: dict[str, Any], slower: dict[str, float], now: float) -> float:
        """Return the seconds that the rest of a job takes on one core."""
        left = [part for part in job["parts"] if part["name"] not in self._made]
        begun = len(left) < len(job["parts"]) or any(part["name"] in self._begun for part in left)
        seconds = 0.0 if begun else float(job["start"])
        for part in left:
            since = now - self._begun.get(part["name"], now)
            # a step that takes longer than it was thought to goes on for a tenth of what it has taken
            seconds += max(part["seconds"] * slower[part["word"]] - since, since / 10)
        return seconds


def _batched(job: dict[str, Any]) -> bool:
    """Return whether a job consists of steps with notes."""
    return str(job["name"]).startswith("batches/")


# -- how it is shown -------------------------------------------------------------------------------------


def follow(watch: Watch, wait: Callable[[float], bool], study: str) -> None:
    """Show how far a run is until it ends: on a terminal drawn over itself, elsewhere a line for each tenth.

    Parameters
    ----------
    watch : of the run.
    wait : seconds -> whether the run has ended; waits so long, or until then.
    study : its name.
    """
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    show = _drawn if console.is_terminal else _printed
    pause = _PAUSE
    with show(console, study) as say:
        while not wait(pause):
            begin = time.monotonic()
            if seen := watch.look(time.time()):
                say(seen)
            pause = max(
                _PAUSE, 20 * (time.monotonic() - begin)
            )  # thousands of files: looking takes a twentieth


@contextlib.contextmanager
def _drawn(console: Any, study: str) -> Iterator[Callable[[Seen], None]]:
    """Yield a function that draws over what it drew before."""
    from rich.live import Live

    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda seen: live.update(screen(seen, study, console.width), refresh=True)


@contextlib.contextmanager
def _printed(console: Any, study: str) -> Iterator[Callable[[Seen], None]]:
    """Yield a function that prints a line whenever another tenth of the steps is made."""
    tenth = -1

    def say(seen: Seen) -> None:
        nonlocal tenth
        made, of = seen.steps
        if 10 * made // max(of, 1) > tenth:
            tenth = 10 * made // max(of, 1)
            console.print(f"{study}: {seen.line}", soft_wrap=True, markup=False)

    yield say


def screen(seen: Seen, study: str, width: int = 80) -> RenderableType:
    """Return how far a run is, `width` characters wide: what is made, and what runs."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    for word, (made, of) in seen.done.items():
        full = _BAR * made // of
        bar = Text.assemble(("━" * full, "green"), ("━" * (_BAR - full), "bright_black"))
        table.add_row(f"  {word}", Text(f"{made}/{of}", justify="right"), bar)
    running = [Text(f"  {name.replace('/', ' ')}: {line}") for name, line in seen.running.items()]
    for text in running:
        text.truncate(max(20, width - 1), overflow="ellipsis")
    return Group(Text(f"{study}: {seen.line}", style="bold"), table, *running[:_RUNNING])
