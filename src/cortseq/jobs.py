"""What the scripts of the workflow share: a log, one-line errors, thread counts."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cortseq import __version__, store
from cortseq.errors import CortseqError


@contextlib.contextmanager
def job(snakemake: Any, *, may_fail: bool = False) -> Iterator[Callable[..., None]]:
    """Run a script's body: yields a function that logs a line.

    A CortseqError ends the job with its one line on the terminal and in the log, without a traceback;
    Snakemake then removes what the job had begun to write. A job that `may_fail` and does, or needs a product
    that could not be made, writes the reason in place of its outputs, and the study goes on. A system error,
    a full disk say, stops the study whatever the job.

    Parameters
    ----------
    snakemake : the object of the script; its log begins with the lines `before`, where it has any.
    may_fail : whether the rest of the study makes sense without the outputs.
    """
    _limit_threads(snakemake.threads)
    _forget_peak_memory()
    log = Path(str(snakemake.log[0])) if snakemake.log else None
    start = time.monotonic()
    _write(log, "".join(f"{line}\n" for line in getattr(snakemake, "before", ())), "w")

    def say(line: str, fraction: float | None = None) -> None:
        with contextlib.suppress(OSError):  # a terminal that is gone
            print(line, file=sys.stderr, flush=True)
        _write(log, f"{time.monotonic() - start:8.1f} s  {line}\n")

    try:
        try:
            yield say
            # of the whole process: imports, and the steps before this one, are in it
            spent = f"done; {time.process_time():.1f} s of processor time since the process began"
            _write(log, f"{time.monotonic() - start:8.1f} s  {spent}\n")
        except Exception as error:
            if not may_fail or isinstance(error, OSError):
                raise
            _forgive(error, snakemake.output, say)
    except (CortseqError, OSError) as error:
        where = getattr(error, "filename", None) or Path.cwd()
        for line in str(store.full(where) if store.is_full(error) else error).splitlines():
            say(f"error: {line}")
        sys.exit(1)


def _write(log: Path | None, text: str, mode: str = "a") -> None:
    """Write to a log; one that cannot be written, since the disk is full say, stops nothing."""
    if log:
        with contextlib.suppress(OSError):
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open(mode, encoding="utf-8") as file:
                file.write(text)


def _forgive(error: Exception, outputs: Any, say: Callable[..., None]) -> None:
    """Write why a job failed in place of its outputs, so that the study goes on without them."""
    known = isinstance(error, CortseqError)
    why = str(error) if known else f"{type(error).__name__}: {error}"
    for line in why.splitlines() if known else [traceback.format_exc()]:
        say(f"error: {line}" if known else line)
    for file in outputs:
        store.write_failure(" ".join(why.split()), file)


def _limit_threads(n: int) -> None:
    """All thread pools to what the scheduler gave: oversubscribed torch is 10-50 times slower."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(n)
    from threadpoolctl import threadpool_limits

    threadpool_limits(n)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n)


def _forget_peak_memory() -> None:
    """Let the peak begin anew where the system can: steps share a process."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mb() -> float:
    """Return peak resident memory, MiB: on Linux since the step began, elsewhere of the whole process."""
    import resource

    scale = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def gpu_present(devices: Path = Path("/dev")) -> bool:
    """Return whether torch would find an NVIDIA device, without importing torch.

    Parameters
    ----------
    devices : folder of the system's device files; a container may have only some of them, `nvidia2` say.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    named = re.match(r"[0-9]+$|GPU-|MIG-", visible)  # CUDA ignores what follows an entry that is no device
    return named is not None and any(devices.glob("nvidia[0-9]*")) and _built_for_cuda()


@functools.cache
def _built_for_cuda() -> bool:
    """Return whether the installed torch can use CUDA, as the file that states its build says."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return False
    stated = Path(torch.origin).with_name("version.py").read_text(encoding="utf-8")
    cuda = re.search(r"^cuda\b[^=]*= *(.+)$", stated, re.MULTILINE)
    return cuda is not None and cuda[1].strip() != "None"


def versions() -> dict[str, str]:
    """Return versions of what a fit's numbers depend on."""
    from importlib.metadata import version

    return {name: version(name) for name in ("numpy", "scipy", "scikit-learn", "torch")}


def fitted(variant: str, trials_sha256: str, seconds: float) -> dict[str, Any]:
    """Return what the card of a fit says of the job that made it."""
    return {
        "variant": variant,
        "trials_sha256": trials_sha256,
        "versions": {"cortseq": __version__, **versions()},
        "commit": commit(),
        "seconds": seconds,
        "peak_memory_mb": peak_memory_mb(),
    }


def commit() -> str:
    """Return the commit of the working copy, "" outside one."""
    import subprocess

    here = Path(__file__).parent
    answer = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True)
    return answer.stdout.strip() if answer.returncode == 0 else ""
