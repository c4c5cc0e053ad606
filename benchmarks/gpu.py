"""Members trained at once on a CUDA device, beside one member after another.

`cases` is the group `gpu` of `python -m benchmarks`: a peer is timed with one member and its time is
multiplied.

`make bench-gpu`, or `python -m benchmarks.gpu [--rehearse] [--seconds 420] [--output results/bench/gpu]`,
writes one report of a device that was never used before:

    steps      a training step of all members on the device, and of one member in the CPU's fastest engine
    fused      the same step with its loop over time in one kernel, beside the recorded one: times, and
               the largest relative difference of loss and gradients, at most 1e-3
    scaling    the same for 1 to 256 members, with the most memory that was held
    scores     bits per event of fits on the device less those of the same fits on the CPU: at most 1e-3

It needs cortseq's sources, torch, numpy, numba, scipy, pandas, xarray, pydantic and threadpoolctl; neither
zarr nor Snakemake. A part that the seconds do not reach, or that fails, is written as "not measured".
`--rehearse` runs everything with tiny sizes on a CPU: its numbers say nothing of a device. The fused kernels
are then run by Triton's interpreter, or "not measured" where Triton is not installed.

Everything is float32 without TF32, so that results can be compared. Times are wall seconds up to
`torch.cuda.synchronize`.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Case, Peer, cpu
from benchmarks.training import N_TIME, TOLERANCE, disagreement, problem

FAMILIES, HIDDEN, MEMBERS = ("rate", "dale", "stp", "lstm"), (64, 128), 64
SCALING = (1, 4, 16, 64, 256)
N_UNITS, N_TRIALS = 50, 32
LOOP, CUDNN = 30.0, 5.0  # ratios asked for
CUDNN_OF = {"rate": "cuDNN nn.RNN", "lstm": "cuDNN nn.LSTM"}


def available() -> bool:
    import torch

    return torch.cuda.is_available()


def unmeasured() -> list[str]:
    """What `cases` would measure, by name."""
    each = [(family, hidden) for family in FAMILIES for hidden in HIDDEN]
    return [
        *(f"gpu: {MEMBERS} members of {family} H={hidden} against the plain loop" for family, hidden in each),
        *(f"gpu: {MEMBERS} members of {f} H={h} against {CUDNN_OF[f]}" for f, h in each if f in CUDNN_OF),
        *(f"gpu: scaling in members 1..256, {family} H={hidden}" for family, hidden in each),
    ]


def clock() -> float:
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


def cases() -> Iterator[Case]:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for family in FAMILIES:
        for hidden in HIDDEN:
            yield _against_peers(family, hidden, {})
            if family == "rate":  # nn.RNN has no leak
                yield _against_peers(family, hidden, {"leak": 1})
            for members in SCALING:
                yield _scaling(family, hidden, members)


def _members(family: str, hidden: int, settings: dict, members: int):
    """Ours on all members, and the problem of the first."""
    from cortseq.networks.training.engines import stepper

    model, first, data = problem(family, settings, N_UNITS, hidden, N_TRIALS, N_TIME)
    params = model.initial(data, members, 0)
    params["start"][0] = first["start"]
    return stepper(model, params, data, "auto", "cuda"), model, first, data


def _against_peers(family: str, hidden: int, settings: dict) -> Case:
    import torch

    from benchmarks import peers_torch

    ours, model, first, data = _members(family, hidden, settings, MEMBERS)
    y = data.y.astype(np.float32)
    constant = float(torch.lgamma(torch.as_tensor(data.y, dtype=torch.float64) + 1).sum())

    def apart(a, b) -> float:
        return disagreement(_first(a), b, constant)

    plain, cudnn = peers_torch.loop(model, first, y, "cuda"), CUDNN_OF.get(family)
    peers = [Peer(f"plain loop x {MEMBERS}", plain, apart, TOLERANCE, LOOP, MEMBERS)]
    if cudnn and (settings or family == "lstm"):
        module = peers_torch.module(model, first, y, "cuda")
        peers.append(Peer(f"{cudnn} x {MEMBERS}", module, apart, TOLERANCE, CUDNN, MEMBERS))
    without = " (leak 1)" if settings else ""
    return Case(f"gpu: {MEMBERS} members of {family}{without} H={hidden}", ours, peers)


def _scaling(family: str, hidden: int, members: int) -> Case:
    ours, *_ = _members(family, hidden, {}, members)
    one, *_ = _members(family, hidden, {}, 1)

    def apart(a, b) -> float:
        return disagreement(_first(a), _first(b))

    alone = Peer(f"one member x {members}", one, apart, TOLERANCE, None, members)
    return Case(f"gpu: {members} members of {family} H={hidden}", ours, [alone])


def _first(result):
    """Loss and gradients of member 0."""
    loss, gradients = result
    return float(loss[0]), {name: value[0] for name, value in gradients.items()}


# -- the report of one device ----------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """What is measured: a recording, members of `steps`, numbers of members of `scaling`, seconds."""

    units: int = N_UNITS
    hidden: int = 64
    trials: int = N_TRIALS
    bins: int = N_TIME
    members: int = MEMBERS
    scaling: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    scaled: tuple[str, ...] = ("rate", "lstm")
    seconds: float = 0.5


TINY = Sizes(4, 6, 6, 8, 3, (1, 2), ("rate",), 0.0)
MOST_BITS = 1e-3  # between the scores of two fits
REHEARSAL = "Rehearsal on a CPU: no number here says anything of a device."
Rows = list[dict[str, Any]]
TABLES = ("steps", "fused", "scaling", "scores")


def trained() -> list[str]:
    """Families that learn on a device."""
    from cortseq import models

    return [name for name, model in models.registry().items() if model.uses_gpu]


def seconds_of(run: Callable[[], Any], device: str, enough: float) -> float:
    """Median seconds of one call; the first one, which compiles or records, is not counted."""
    import torch

    run()
    taken: list[float] = []
    while len(taken) < 3 or (sum(taken) < enough and len(taken) < 50):
        start = time.perf_counter()
        run()
        if device != "cpu":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def with_fused() -> list[str]:
    """Families whose loop over time has a kernel of its own."""
    from cortseq import models

    return [name for name in trained() if models.registry()[name].small().fusion]


def device_step(
    family: str, members: int, sizes: Sizes, device: str, fused: bool = False
) -> tuple[Callable[[], Any], Any, dict[str, Any]]:
    """Return one step of all members in a recorded engine, the engine, and parameters with gradients."""
    import torch

    from cortseq.networks.training import bptt
    from cortseq.networks.training.engines.fused import Fused, check
    from cortseq.networks.training.engines.graphed import Graphed

    if fused:
        check(device)
    model, _, data = problem(family, {}, sizes.units, sizes.hidden, sizes.trials, sizes.bins)
    params, network = model.initial(data, members, 0), model.network(data)
    engine = (Fused if fused else Graphed)(network, data, params, model.training, device)
    p = {name: (value if members > 1 else value[0]).to(device) for name, value in params.items()}
    for name, value in p.items():
        if name not in network.fixed:
            p[name] = value.clone().requires_grad_()
            p[name].grad = torch.zeros_like(value)
    batch = engine.batch(np.tile(np.arange(sizes.trials), (members, 1)))
    return lambda: bptt.gradient(engine, p, batch), engine, p


def fused_step(family: str, sizes: Sizes, device: str) -> dict[str, Any]:
    """One row: a step with the fused loop beside the recorded one, and how far their results differ.

    The read-out does not start at 0, or no gradient would reach the loop.
    """
    import torch

    found: list[tuple[float, Any]] = []
    names: list[str] = []
    for fused in (True, False):
        gc.collect()
        run, engine, p = device_step(family, sizes.members, sizes, device, fused)
        with torch.no_grad():
            p["readout_weight"] += 0.1
        loss = run()
        gradients = {
            name: value.grad.cpu().numpy().copy() for name, value in p.items() if value.requires_grad
        }
        solution = (float(loss.sum()), gradients)
        found.append((seconds_of(run, device, sizes.seconds), solution))
        names.append(engine.name)
    (ours, here), (recorded, there) = found
    apart = disagreement(here, there)
    return {
        "family": family,
        "members": sizes.members,
        "fused_ms": 1e3 * ours,
        "recorded_ms": 1e3 * recorded,
        "ratio": recorded / ours,
        "apart": apart,
        "within": apart <= TOLERANCE,
        "execution": ", ".join(names),
    }


def cpu_seconds(family: str, sizes: Sizes) -> float:
    """Seconds of a step of one member in the CPU's fastest engine."""
    from cortseq.networks.training.engines import stepper

    model, _, data = problem(family, {}, sizes.units, sizes.hidden, sizes.trials, sizes.bins)
    return seconds_of(stepper(model, model.initial(data, 1, 0), data), "cpu", sizes.seconds)


def timed(family: str, members: int, sizes: Sizes, device: str, alone: float) -> dict[str, Any]:
    """One row of times: `alone` are the seconds of one member on one core of the CPU."""
    import torch

    gc.collect()  # a recorded step and its engine hold each other
    if device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    run, engine, _ = device_step(family, members, sizes, device)
    start = time.perf_counter()
    run()
    first = time.perf_counter() - start
    ours = seconds_of(run, device, sizes.seconds)
    peak = torch.cuda.max_memory_allocated() / 2**20 if device != "cpu" else None
    return {
        "family": family,
        "members": members,
        "device_ms": 1e3 * ours,
        "cpu_ms_of_all_members": 1e3 * alone * members,
        "ratio": alone * members / ours,
        "first_step_s": first,
        "peak_mib": peak,
        "execution": engine.name,
    }


def score_difference(family: str, sizes: Sizes, device: str) -> dict[str, Any]:
    """Largest difference in bits per event between fits on the device and on the CPU, without noise."""
    from cortseq import models, recording

    rng = np.random.default_rng(0)
    rates = np.where(np.arange(16)[None, :, None] // 4 % 2 == rng.integers(0, 2, (40, 1, 1)), 0.2, 1.5)
    counts = recording.from_counts(rng.poisson(np.repeat(rates, 4, -1)), bin_width=0.02)
    quiet = {"input_dropout": 0, "hidden_dropout": 0}
    model = models.registry()[family](hidden=8, epochs=5 if sizes.seconds else 2, batch=16, **quiet)
    fits = [model.fit(counts, range(20), range(20, 26), members=3, device=name) for name in ("cpu", device)]
    a, b = (fit.log_prob(counts).values.sum((1, 2)) for fit in fits)
    bits = float(np.abs(a - b).max() / counts["counts"].values.sum() / np.log(2))
    return {
        "family": family,
        "bits_per_event": bits,
        "within": bits <= MOST_BITS,
        "execution": fits[1].card["execution"],
    }


def parts(sizes: Sizes, device: str) -> Iterator[tuple[str, str, Callable[[], dict[str, Any]]]]:
    """(table, name, a function that makes one row) of everything that is measured, the checks first."""
    alone: dict[str, float] = {}

    def row(family: str, members: int) -> dict[str, Any]:
        if family not in alone:
            alone[family] = cpu_seconds(family, sizes)
        return timed(family, members, sizes, device, alone[family])

    for family in trained():
        yield "scores", family, lambda family=family: score_difference(family, sizes, device)
    for family in trained():
        yield "steps", family, lambda family=family: row(family, sizes.members)
    for family in with_fused():
        yield "fused", family, lambda family=family: fused_step(family, sizes, device)
    for family in sizes.scaled:
        for members in sizes.scaling:
            yield "scaling", f"{family}, {members} members", lambda f=family, m=members: row(f, m)


def report(
    sizes: Sizes, device: str, seconds: float, keep: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Measure everything that `seconds` reach; `keep` is given what there is after every row."""
    begun = time.monotonic()
    tables: dict[str, Rows] = {name: [] for name in TABLES}
    missing: list[str] = []
    found = {"device": describe(device), "sizes": asdict(sizes), **tables, "not_measured": missing}
    for table, name, make in parts(sizes, device):
        if time.monotonic() - begun > seconds:
            missing.append(f"{table}: {name} (no time left)")
            continue
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                tables[table].append(make() | {"warnings": sorted({str(w.message) for w in said})})
            except Exception as error:  # one family that fails leaves the others to be measured
                missing.append(f"{table}: {name} ({type(error).__name__}: {error})")
        keep(found)
    found["seconds"] = time.monotonic() - begun
    keep(found)
    return found


def describe(device: str) -> dict[str, Any]:
    """Name of the device and of the CPU, and versions."""
    import torch

    versions = {name: importlib.metadata.version(name) for name in ("torch", "numpy", "numba")}
    cuda = {}
    if device != "cpu":
        properties = torch.cuda.get_device_properties(device)
        cuda = {
            "name": properties.name,
            "memory_mib": properties.total_memory / 2**20,
            "cuda": torch.version.cuda,
        }
    return {
        "rehearsal": device == "cpu",
        "cpu": cpu()[0],
        "cores": os.cpu_count(),
        "versions": versions,
        "date": time.strftime("%F"),
        **cuda,
    }


def markdown(found: dict[str, Any]) -> str:
    """The report as tables."""
    device = found["device"]
    lines = [f"# Training on {device.get('name', 'no device')}", ""]
    lines += [REHEARSAL, ""] if device["rehearsal"] else []
    lines += ["Times of the CPU are those of one core, one member after another.", ""]
    lines += [
        f"{device['cpu']}, {device['cores']} cores; {device['versions']}; {device['date']}; "
        f"{found.get('seconds', 0):.0f} s",
        "",
    ]
    for table in TABLES:
        rows = found[table]
        columns = [name for name in rows[0] if name != "warnings"] if rows else []
        lines += (
            [f"## {table}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
            if rows
            else []
        )
        lines += ["| " + " | ".join(_cell(row[name]) for name in columns) + " |" for row in rows] + [""]
    said = sorted({line for table in TABLES for row in found[table] for line in row["warnings"]})
    lines += [f"- warning: {line}" for line in said]
    lines += [f"- not measured: {name}" for name in found["not_measured"]]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "-" if value is None else str(value)


def main(arguments: list[str] | None = None) -> int:
    """Write the report; 0 where everything was measured, and agrees where two ways were compared."""
    import torch

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes on a CPU")
    parser.add_argument("--seconds", type=float, default=420.0, help="after which nothing new is begun")
    parser.add_argument(
        "--output", type=Path, default=Path("results/bench/gpu"), help="without .json and .md"
    )
    given = parser.parse_args(arguments)
    if not given.rehearse and not available():
        print("no CUDA device: nothing was measured (--rehearse runs on a CPU)", file=sys.stderr)
        return 1
    if given.rehearse:
        os.environ.setdefault("TRITON_INTERPRET", "1")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    given.output.parent.mkdir(parents=True, exist_ok=True)

    def keep(found: dict[str, Any]) -> None:
        given.output.with_suffix(".json").write_text(json.dumps(found, indent=1))
        given.output.with_suffix(".md").write_text(markdown(found))

    sizes, device = (TINY, "cpu") if given.rehearse else (Sizes(), "cuda")
    found = report(sizes, device, given.seconds, keep)
    print(markdown(found))
    within = all(row["within"] for table in ("fused", "scores") for row in found[table])
    return int(bool(found["not_measured"]) or not within)


if __name__ == "__main__":
    sys.exit(main())
