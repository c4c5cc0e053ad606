"""Steps of a study, many of which share a process; a step that was made is not made again.

Starting a process costs seconds of imports, more than most fits, forecasts and figures take. A job of the
workflow is therefore a batch of steps. A note beside the results says what each step was made from, what it
wrote and how long it took: where one step of a batch changed, that one is made again and the others are left
as they are.

Snakemake removes every output of a job that fails. What the finished steps of a batch wrote is therefore kept
under a second name until the whole batch is made, and the next run takes it from there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import json
import os
import runpy
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cortseq import jobs, leases, store

Files = Mapping[str, str | list[str]]
AGAIN = "CORTSEQ_AGAIN"  # of the environment: set where the user asked for steps to be made whatever is there


@dataclasses.dataclass(frozen=True)
class Step:
    """What one script makes in one go.

    Attributes
    ----------
    script : name of a file of `workflow/scripts`, without .py.
    out : folder of the study's results.
    name : path of its log and of its note below `out`, such as "fit/ring/lstm/fold0".
    given : names of inputs -> a file, or a list of files.
    made : names of outputs -> a file.
    params : settings, as plain values; with a fingerprint of the code.
    key : wildcards of the files, such as the dataset and the variant.
    seconds : about how long it takes by the laws of cost; in a job for a recording of a usual size.
    gpu : whether it computes on an accelerator where there is one.
    """

    script: str
    out: str
    name: str
    given: Files
    made: dict[str, str]
    params: dict[str, Any]
    key: dict[str, str]
    seconds: float = 1.0
    gpu: bool = False

    @property
    def inputs(self) -> list[str]:
        """Return every file that is read."""
        return _flat(self.given)

    @property
    def outputs(self) -> list[str]:
        """Return every file that is written."""
        return list(self.made.values())

    @property
    def log(self) -> str:
        """Return the path of the log."""
        return f"{self.out}/logs/{self.name}.log"

    @property
    def note(self) -> Path:
        """Return the path of the note on what it was made from."""
        return Path(f"{self.out}/made/{self.name}.json")

    @property
    def lease(self) -> Path:
        """Return the path of its lease, without a number."""
        return Path(f"{self.out}/made/{self.name}")

    @property
    def plain(self) -> dict[str, Any]:
        """Return the step as plain values, of which `Step(**plain)` makes it again."""
        return dict(vars(self))  # `asdict` would copy every list

    @property
    def kept(self) -> Path:
        """Return the folder of the second names of its outputs while its batch is not whole."""
        return Path(f"{self.out}/made/{self.name}.kept")

    def found(self) -> dict[str, Any]:
        """Return what the note would say now of the settings, and of the files that are there."""
        recipe = [self.script, self.given, self.made, self.params, self.key]
        text = json.dumps(recipe, sort_keys=True)
        digests = {file: _digest(file) for file in (*self.inputs, *self.outputs) if Path(file).is_file()}
        return {"recipe": sha256(text.encode()).hexdigest(), "files": digests}

    @property
    def is_made(self) -> bool:
        """Return whether its outputs are there, from the same settings, code and content of its inputs."""
        if os.environ.get(AGAIN) or not self.note.is_file():
            return False
        noted = self.noted()
        return all(noted.get(key) == value for key, value in self.found().items())

    def noted(self) -> dict[str, Any]:
        """Return the note; {} where there is none."""
        if not self.note.is_file():
            return {}
        content: dict[str, Any] = json.loads(self.note.read_text(encoding="utf-8"))
        return content

    def make(self, folder: Path, threads: int, config: Mapping[str, Any], before: Iterable[str] = ()) -> None:
        """Run the script, which lies in `folder`, and write the note; its log begins with the lines `before`.

        Raises
        ------
        SystemExit : the script ended with an error, which it has said.
        """
        for file in (*self.outputs, str(self.note)):
            Path(file).unlink(missing_ok=True)
        snakemake = SimpleNamespace(
            input=Named(self.given),
            output=Named(self.made),
            params=SimpleNamespace(**self.params),
            wildcards=Named(self.key),
            log=[self.log],
            threads=threads,
            config=config,
            before=before,
        )
        wall, processor = time.monotonic(), time.process_time()
        runpy.run_path(str(folder / f"{self.script}.py"), {"snakemake": snakemake})
        taken = {
            "seconds": round(time.monotonic() - wall, 3),
            "cpu_seconds": round(time.process_time() - processor, 3),
            "peak_memory_mb": round(jobs.peak_memory_mb()),
        }
        store.write_json(self.found() | taken, self.note)

    def keep(self, replaced: Collection[str]) -> None:
        """Give its outputs a second name; of those that replaced an earlier file, keep a copy.

        Snakemake brings the earlier file back by writing into what is there, under both names.
        """
        self.kept.mkdir(parents=True, exist_ok=True)
        for name, file in self.made.items():
            (self.kept / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # no hard links here, or no room for a copy
                _second(Path(file), self.kept / name, file in replaced)

    def recover(self) -> None:
        """Take back outputs that were removed, or replaced by earlier ones, when another step failed."""
        noted = self.noted().get("files", {})
        for name, file in self.made.items():
            kept, there = self.kept / name, Path(file)
            if kept.is_file() and not (there.is_file() and _digest(file) == noted.get(file)):
                replaced = there.is_file()
                there.parent.mkdir(parents=True, exist_ok=True)
                there.unlink(missing_ok=True)
                _second(kept, there, replaced)

    def let_go(self) -> None:
        """Remove the second names."""
        shutil.rmtree(self.kept, ignore_errors=True)


def _flat(parts: Files) -> list[str]:
    return [file for part in parts.values() for file in ([part] if isinstance(part, str) else part)]


class Named(list[str]):
    """Files in a list, which are attributes too under their names, as Snakemake hands them to a script."""

    def __init__(self, parts: Files) -> None:
        """`parts`: name -> a file, or a list of files."""
        super().__init__(_flat(parts))
        self._parts = dict(parts)

    def __getattr__(self, name: str) -> Any:
        """Return the part of this name."""
        try:
            return self.__dict__["_parts"][name]
        except KeyError:
            raise AttributeError(name) from None

    def get(self, name: str, default: Any = None) -> Any:
        """Return the part of this name, `default` where there is none."""
        return self._parts.get(name, default)


@dataclasses.dataclass(frozen=True)
class Batch:
    """Steps that share a process, in the order in which they are made.

    Attributes
    ----------
    name : of the rule.
    steps : those later in the list may read what earlier ones write.
    priority : over other jobs that could begin.
    """

    name: str
    steps: list[Step]
    priority: int = 0

    @property
    def outputs(self) -> list[str]:
        """Return every file that is written."""
        return [file for step in self.steps for file in step.outputs]

    @property
    def inputs(self) -> list[str]:
        """Return every file that is read and not written by an earlier step."""
        own = set(self.outputs)
        return list(dict.fromkeys(file for step in self.steps for file in step.inputs if file not in own))

    @property
    def given(self) -> list[dict[str, Any]]:
        """Return the steps as plain values, the parameter of a rule."""
        return [step.plain for step in self.steps]

    @property
    def gpu(self) -> int:
        """Return how many accelerators are needed."""
        return int(any(step.gpu for step in self.steps))


def _second(file: Path, name: Path, copied: bool) -> None:
    (shutil.copyfile if copied else os.link)(file, name)


def _digest(file: str) -> str:
    """Digest of a file; read again only where its size or date changed."""
    known = os.stat(file)
    return _read(file, known.st_size, known.st_mtime_ns)


@functools.lru_cache(maxsize=100_000)
def _read(file: str, size: int, date: int) -> str:
    return store.sha256(file)


def make(
    steps: Iterable[Step],
    folder: Path,
    threads: int,
    config: Mapping[str, Any],
    *,
    asked: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> tuple[int, int]:
    """Make the steps that are not made yet, with the scripts of `folder`; return how many of how many.

    Parameters
    ----------
    asked : `mem_mb` and `runtime` that the job asked a scheduler for.
    say : is given a line where another job is making a step, which is waited for.
    """
    batch, made = list(steps), 0
    replaced = {file for step in batch for file in step.outputs if Path(file).exists()}
    for step in batch:
        step.recover()
        if step.is_made:
            continue
        with leases.held(step.lease, asked or {}, say, Path(step.log)) as before:
            if not step.is_made:  # another job may just have made it
                step.make(folder, threads, config, before)
                step.keep(replaced)
                made += 1
                gc.collect()
    for step in batch:
        step.let_go()
    return made, len(batch)


def batches(name: str, groups: Iterable[list[Step]], seconds: float, priority: int = 0) -> list[Batch]:
    """Put groups of steps together in their order until they take about `seconds`; groups stay whole.

    A group goes where the job that it ends is nearer to `seconds` with it than without it.
    """
    found: list[list[Step]] = []
    spent = 0.0
    for group in groups:
        cost = sum(step.seconds for step in group)
        if not found or spent + cost / 2 > seconds:
            found.append([])
            spent = 0.0
        found[-1] += group
        spent += cost
    return [Batch(f"{name}_{i}", steps, priority) for i, steps in enumerate(found, 1)]
