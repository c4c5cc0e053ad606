"""Runs pytest in forks of a process that has imported the large libraries, which takes longer than most tests.

Reads one JSON object a line, {"arguments": [...], "output": path, "seconds": n}, and answers with the exit status, or
null where the tests were not done in time. It imports nothing of the project: each fork does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import jinja2  # noqa: F401
import matplotlib.figure  # noqa: F401
import numba  # noqa: F401
import pandas  # noqa: F401
import pyarrow.parquet  # noqa: F401
import pydantic  # noqa: F401
import pytest
import scipy.optimize
import scipy.stats  # noqa: F401
import sklearn.cluster  # noqa: F401
import torch  # noqa: F401
import xarray  # noqa: F401
import zarr  # noqa: F401


def serve() -> None:
    for line in sys.stdin:
        given = json.loads(line)
        child = os.fork()
        if not child:
            _run(given["arguments"], given["output"])
        print(json.dumps(_status(child, given["seconds"])), flush=True)


def _run(arguments: list[str], output: str) -> None:
    """In the fork: pytest, with all that it says in a file."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    status = 3
    try:
        status = int(pytest.main(arguments))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _status(child: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


if __name__ == "__main__":
    serve()
