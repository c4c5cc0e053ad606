"""Unfinished fits on disk: what is needed to go on and end with the same bytes.

Random numbers are functions of (seed, member, epoch, step) (`cortseq.networks.training.noise`), so a position
in the epochs stands for every random stream. One safetensors file, written whole or not at all; a file that
another specification, seed, recording or torch wrote is not used.
"""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from cortseq import store
from cortseq.fingerprint import fingerprint
from cortseq.models.progress import Checkpoint, Progress
from cortseq.networks.training.roles import Session


class Keeper:
    """Writes and finds the states of a fit's groups of members; `checkpoint` None: does nothing."""

    def __init__(self, checkpoint: Checkpoint | None, identity: str, progress: Progress):
        self.checkpoint, self.identity, self.progress = checkpoint, identity, progress
        self.written = time.monotonic()
        self.complained = False
        self.groups: dict[int, dict[str, Any]] = self._read()

    def _read(self) -> dict[int, dict[str, Any]]:
        if self.checkpoint is None or not self.checkpoint.path.exists():
            return {}
        from safetensors import SafetensorError, safe_open

        groups: dict[int, dict[str, Any]] = {}
        try:
            with safe_open(self.checkpoint.path, "pt") as file:
                head = json.loads(file.metadata()["fit"])
                if head["identity"] != self.identity:
                    self.progress("the checkpoint there is of another fit: starting anew")
                    return {}
                for name in file.keys():
                    group, key = name.split("/")
                    groups.setdefault(int(group), {})[key] = file.get_tensor(name)
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            self.progress(f"the checkpoint cannot be read ({error}): starting anew")
            return {}
        for group, plain in head["groups"].items():
            groups.setdefault(int(group), {}).update(plain)
        return groups

    def due(self) -> bool:
        """Whether it is time to write again."""
        return self.checkpoint is not None and time.monotonic() - self.written > self.checkpoint.seconds

    def keep(self, group: int, state: dict[str, Any]) -> None:
        """Write the state of `group` (tensors, and what JSON holds) beside those of the others.

        A full disk does not end a fit: it goes on without the checkpoint, and says so once.
        """
        self.groups[group] = state
        if self.checkpoint is None:
            return
        self.written = time.monotonic()
        try:
            self._write()
        except OSError as error:
            if not self.complained:
                self.progress(f"checkpoint not written ({error}): the fit goes on without")
            self.complained = True

    def _write(self) -> None:
        from safetensors.torch import save_file

        tensors: dict[str, torch.Tensor] = {}
        plain: dict[str, dict[str, Any]] = {}
        for group, state in self.groups.items():
            plain[str(group)] = {k: v for k, v in state.items() if not isinstance(v, torch.Tensor)}
            tensors |= {
                f"{group}/{k}": v.detach().cpu().contiguous()
                for k, v in state.items()
                if isinstance(v, torch.Tensor)
            }
        head = json.dumps({"identity": self.identity, "groups": plain})
        assert self.checkpoint is not None
        with store.atomic(self.checkpoint.path) as temporary:
            save_file(tensors, temporary, {"fit": head})


def identity(sessions: Sequence[Session], seed: int, device: str, groups: list[list[int]]) -> str:
    """Digest of everything a fit's result depends on, its code included."""
    digest = hashlib.sha256()
    cell = sessions[0].network.cell
    code = fingerprint(type(cell).__module__)
    plain = [cell.model_dump(mode="json"), seed, device, groups, code, torch.__version__, np.__version__]
    digest.update(json.dumps(plain, sort_keys=True).encode())
    for session in sessions:
        for value in session.params.values():
            digest.update(np.ascontiguousarray(value.cpu().numpy()).tobytes())
        for data in (session.train, session.valid):
            digest.update(data.digest().encode())
    return digest.hexdigest()


@contextmanager
def termination() -> Iterator[threading.Event]:
    """Yield an event that is set when the scheduler warns (SIGTERM), where the process would die at once."""
    warned = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield warned  # only the main thread may set handlers
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: warned.set())
    try:
        yield warned
    finally:
        signal.signal(signal.SIGTERM, before)
