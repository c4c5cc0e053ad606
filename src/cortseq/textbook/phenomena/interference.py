"""Catastrophic interference: what a step for a new task does to the loss of the old one, and three remedies.

1. After a step d the old loss changes by grad L1 . d + 1/2 d' H1 d to second order, exactly so for a
   quadratic loss. The first term vanishes only at a minimum of the old task, so that it belongs in the
   account; the Gauss-Newton form 1/2 |J1 d|^2 equals the second term only for outputs linear in the
   parameters or residuals of zero (of other losses than squares it needs their curvature in the outputs, J'
   Lambda J).
2. Steps in the null space of J1 change no output of the old task to first order; elastic weights (EWC)
   penalise by the diagonal of J' Lambda J; replay trains on both. Kirkpatrick et al. 2017, PNAS 114:3521;
   Zeng et al. 2019, Nat Mach Intell 1:364; Rolnick et al. 2019, arXiv:1811.11682. What they leave: average
   score, backward transfer and forgetting (Lopez-Paz & Ranzato 2017, arXiv:1706.08840). Identical tasks
   cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, xr
from cortseq.checks import Part, above, below, near, phenomenon, reported, worst
from cortseq.processes import entropy_rate, markov
from cortseq.textbook.tasks import Loss, Params, Task, chain_task, cyclic_chain, halves
from cortseq.theory.continual import Transfer, transfer

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

CLAIM = (
    "A step for a new task changes the old loss by its slope and curvature along the step; Gauss-Newton "
    "is exact only for linear outputs or zero residuals; null-space steps, elastic weights and replay keep "
    "what naive learning forgets."
)
REMEDIES = ("naive", "null space", "elastic weights", "replay")


def measure(
    seed: int = 0,
    say: Callable[[str], Any] = print,
    hidden: int = 20,
    trials: int = 1500,
    bins: int = 20,
    steps: int = 400,
    etas: Sequence[float] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    kept: float = 1e-6,
    elastic: float = 30.0,
    recording: xr.Dataset | None = None,
) -> xr.Dataset:
    """Measure what theory predicts of interference between tasks.

    Parameters
    ----------
    hidden, trials, bins : of the networks and of each task's recording.
    steps : of Adam per task.
    etas : sizes of the single steps.
    kept : eigenvalues of J' Lambda J above this share of the largest are the old task's.
    elastic : weight of the penalty.
    recording : its two halves are two more tasks.
    """
    say("single steps")
    parts = [_toy(etas, seed)]
    chains = [chain_task(i, 3, hidden, trials, bins, seed) for i in range(3)]
    model_params, tasks = chains[0][0], [task for _, task in chains]
    parts.append(_steps(model_params, tasks, etas, steps))
    parts.append(_cycles(model_params, tasks, steps, kept, elastic, bins, say))
    parts.append(_identical(model_params, tasks[0], steps))
    if recording is not None:
        parts.append(_recorded(recording, hidden, steps, kept, elastic, seed, say))
    return phenomenon(CLAIM, parts)


# ------------------------------------------------------------------------------------- learning


def _gradient(loss: Loss, p: Params) -> Params:
    held = {k: v.detach().requires_grad_() for k, v in p.items()}
    return dict(zip(held, torch.autograd.grad(loss(held), list(held.values())), strict=True))


def descend(
    losses: list[Loss], p: Params, steps: int, project: Callable[[Any], Any] | None = None, rate: float = 1e-2
) -> Params:
    """Return parameters after Adam on one loss after another, with a rate that falls to 0.

    `project` maps each step, flat, to the step that is taken.
    """
    flat = _flat(p).detach().requires_grad_()
    adam = torch.optim.Adam([flat], lr=rate, foreach=False)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda t: 1 - t / steps)
    for t in range(1, steps + 1):
        before = flat.detach().clone()
        flat.grad = torch.autograd.grad(losses[t % len(losses)](_nested(flat, p)), flat)[0]
        adam.step()
        schedule.step()
        if project is not None:
            flat.data = before + project(flat.detach() - before)
    return {k: v.detach() for k, v in _nested(flat, p).items()}


def _flat(p: Params) -> torch.Tensor:
    return torch.cat([v.flatten() for v in p.values()])


def _nested(flat: torch.Tensor, like: Params) -> Params:
    parts = flat.split([v.numel() for v in like.values()])
    return {k: part.reshape(v.shape) for (k, v), part in zip(like.items(), parts, strict=True)}


def curvature(task: Task, p: Params, rows: int = 400) -> torch.Tensor:
    """J' Lambda J / events of the old task (parameter, parameter), from at most `rows` evenly spaced bins."""
    eta = task.outputs(p).detach()
    some = torch.linspace(0, len(eta) - 1, min(rows, len(eta))).long().unique()
    jacobian = torch.func.jacrev(lambda flat: task.outputs(_nested(flat, p))[some])(_flat(p).detach())
    lam = torch.func.vmap(lambda e: torch.func.hessian(lambda z: _at(task, eta, z))(e))(eta[some])
    weighted = torch.einsum("rab,rbp->rap", lam, jacobian)
    return torch.einsum("rap,raq->pq", jacobian, weighted) * len(eta) / len(some)


def _at(task: Task, eta: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Return the loss with one row of outputs replaced: its Hessian in that row is Lambda.

    That of categorical and Poisson outputs does not depend on what came, so that any row serves.
    """
    return task.of_outputs(torch.cat([z[None], eta[1:]]))


# ------------------------------------------------------------------------------------- single steps


def _changes(
    loss: Loss, outputs: Loss, of_outputs: Loss, p: Params, g2: Params, etas: Sequence[float]
) -> dict[str, np.ndarray]:
    """Measured change of the old loss, its first and second term and the Gauss-Newton form, (eta,) each."""
    from cortseq.theory.interference import gauss_newton, loss_change, measured_loss_change

    out: dict[str, list[Any]] = {"measured": [], "first": [], "second": [], "gauss_newton": []}
    for eta in etas:
        step = {k: -eta * g for k, g in g2.items()}
        change = loss_change(loss, p, step)
        out["measured"].append(measured_loss_change(loss, p, step))
        out["first"].append(change.first)
        out["second"].append(change.second)
        out["gauss_newton"].append(gauss_newton(outputs, of_outputs, p, step))
    return {k: np.array(v) for k, v in out.items()}


def _toy(etas: Sequence[float], seed: int, n: int = 12, rows: int = 8, outputs: int = 2) -> Part:
    """Measure two linear regressions, the old one at its minimum: both forms are exact."""
    noise = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=noise)  # noqa: E731
    x1, x2 = draw(rows, n), draw(rows, n)
    y1, y2 = draw(rows, outputs), draw(rows, outputs)
    w = (torch.linalg.pinv(x1) @ y1).T

    def half_squares(x: torch.Tensor, y: torch.Tensor) -> Loss:
        return lambda p: ((x @ p["w"].T - y) ** 2).sum() / 2

    p = {"w": w}
    loss = half_squares(x1, y1)
    g2 = {"w": torch.func.grad(half_squares(x2, y2))(p)["w"]}
    found = _changes(loss, lambda q: x1 @ q["w"].T, lambda out: ((out - y1) ** 2).sum() / 2, p, g2, etas)
    ratio = found["measured"] / (found["first"] + found["second"])
    exact = "quadratic toy: measured over {}, worst step"
    by_curvature = worst(found["measured"] / found["gauss_newton"])
    checks = [
        near(exact.format("predicted change"), 1.0, worst(ratio), 1e-6, "C47"),
        near(exact.format("Gauss-Newton"), 1.0, by_curvature, 1e-6, "C48"),
    ]
    part = {
        "eta": ("eta", np.array(etas)),
        "term": ("term", list(found)),
        "toy_change": (("term", "eta"), np.array(list(found.values()))),
    }
    return Part(part, checks)


def _steps(start: Params, tasks: list[Task], etas: Sequence[float], steps: int) -> Part:
    """Take one step for the second task from where learning the first ended."""
    old, new = tasks[:2]
    p = descend(old.batches, start, steps)
    found = _changes(old.loss, old.outputs, old.of_outputs, p, _gradient(new.loss, p), etas)
    early = _gradient(new.loss, start)
    begun = _changes(old.loss, old.outputs, old.of_outputs, start, early, etas[:1])
    first, second = found["first"][0], found["second"][0]
    ratio = found["measured"][0] / (first + second)
    share, slope = abs(first) / abs(first + second), "0 at a minimum of the old task; reported"
    learned, unlearned = (f["gauss_newton"][0] / f["second"][0] for f in (found, begun))
    scatter = "1 for residuals of zero, about which they scatter where the old task is learned; reported"
    curved = "residuals are large: the outputs' own curvature counts; reported"
    checks = [
        near("network: measured over predicted change, smallest step", 1.0, ratio, 0.01, "C47"),
        reported("network: first-order share of the predicted change", 0.0, share, "C47", slope),
        reported("network: Gauss-Newton over the full second order", 1.0, learned, "C48", scatter),
        reported("the same before the old task is learned", 1.0, unlearned, "C48", curved),
    ]
    return Part({"network_change": (("term", "eta"), np.array(list(found.values())))}, checks)


# ------------------------------------------------------------------------------------- sequences of tasks


def learn(
    remedy: str, start: Params, tasks: list[Task], steps: int, kept: float, elastic: float
) -> np.ndarray:
    """Learn tasks one after another; return scores (task after, task).

    A score is the test log-likelihood, nats per event.
    """
    p, scores = start, []
    metrics: list[Any] = []
    anchors: list[Any] = []
    for i, task in enumerate(tasks):
        losses, project = task.batches, None
        if i and remedy == "null space":
            values, vectors = torch.linalg.eigh(sum(metrics))
            used = vectors[:, values > kept * values[-1]]
            project = lambda d, used=used: d - used @ (used.T @ d)  # noqa: E731
        elif i and remedy == "elastic weights":
            diagonals = [m.diagonal() for m in metrics]
            losses = [_elastic(loss, diagonals, anchors, elastic) for loss in task.batches]
        elif remedy == "replay":
            losses = [_mean(same) for same in zip(*(t.batches for t in tasks[: i + 1]), strict=False)]
        p = descend(losses, p, steps, project)
        if remedy in ("null space", "elastic weights"):
            metrics.append(curvature(task, p))
            anchors.append(_flat(p))
        with torch.no_grad():
            scores.append([-float(t.test(p)) for t in tasks])
    return np.array(scores)


def _mean(losses: Sequence[Loss]) -> Loss:
    """Return the mean loss of one batch of every task so far, which replay minimises."""
    return lambda p: sum(loss(p) for loss in losses) / len(losses)


def _elastic(loss: Loss, diagonals: list[torch.Tensor], anchors: list[torch.Tensor], weight: float) -> Loss:
    def total(q: Params) -> torch.Tensor:
        here = _flat(q)
        return loss(q) + weight / 2 * sum(
            (f * (here - a) ** 2).sum() for f, a in zip(diagonals, anchors, strict=True)
        )

    return total


def _remedies(
    prefix: str,
    start: Params,
    tasks: list[Task],
    steps: int,
    kept: float,
    elastic: float,
    say: Callable[[str], Any],
) -> tuple[dict[str, Any], dict[str, Transfer]]:
    """Return what is drawn of the tasks learned with each remedy, and the transfer of each remedy."""
    tables = []
    for remedy in REMEDIES:
        say(f"{prefix.replace('_', ': ')}learning {len(tasks)} tasks, {remedy}")
        tables.append(learn(remedy, start, tasks, steps, kept, elastic))
    found = dict(zip(REMEDIES, map(transfer, tables), strict=True))
    task, after, unit = f"{prefix}task", f"{prefix}after", {"units": "nats/event"}
    variables = {
        task: (task, [t.name for t in tasks]),
        "remedy": ("remedy", list(REMEDIES)),
        f"{prefix}score": (("remedy", after, task), np.array(tables), unit),
        f"{prefix}forgetting": (("remedy", after, task), np.array([t.forgetting for t in found.values()])),
        f"{prefix}acc": ("remedy", np.array([t.acc for t in found.values()]), unit),
        f"{prefix}bwt": ("remedy", np.array([t.bwt for t in found.values()]), unit),
    }
    return variables, found


def _cycles(
    start: Params,
    tasks: list[Task],
    steps: int,
    kept: float,
    elastic: float,
    bins: int,
    say: Callable[[str], Any],
) -> Part:
    """Compare remedies on chains; no model scores above the entropy of the chains' own law."""
    variables, found = _remedies("", start, tasks, steps, kept, elastic, say)
    chain = cyclic_chain()
    # ln m for the first symbol, then the rate
    entropy = (np.log(len(chain)) + (bins - 1) * entropy_rate(markov(chain)) * np.log(2)) / bins
    naive, replay = found["naive"], found["replay"].acc
    what, note = "naive learning: backward transfer (nats/event)", "0 would be no forgetting"
    checks = [below(what, 0.0, naive.bwt, -0.1, "C46", note)]
    for remedy in REMEDIES[1:]:
        ratio, gain = found[remedy].bwt / naive.bwt, found[remedy].acc - naive.acc
        what = f"{remedy}: average score over naive learning (nats/event)"
        checks.append(below(f"{remedy}: forgetting over that of naive learning", 0.0, ratio, 0.5, "C49"))
        checks.append(above(what, 0.0, gain, 0.0, "C49"))
    what = "replay: average score beside the chains' own law (nats/event)"
    checks.append(near(what, -entropy, replay, 0.05, "C46"))
    return Part({**variables, "acc_predicted": ((), -entropy, {"units": "nats/event"})}, checks)


def _recorded(
    recording: xr.Dataset,
    hidden: int,
    steps: int,
    kept: float,
    elastic: float,
    seed: int,
    say: Callable[[str], Any],
) -> Part:
    """Compare remedies on the two halves of a recording."""
    variables, found = _remedies("recording_", *halves(recording, hidden, seed), steps, kept, elastic, say)
    what = "recording's halves, {}: backward transfer (nats/event)"
    checks = [reported(what.format(r), 0.0, t.bwt, "C46", "reported") for r, t in found.items()]
    return Part(variables, checks)


def _identical(start: Params, task: Task, steps: int) -> Part:
    """Learn the same task three times, of so many trials that they are not learned by heart."""
    found = transfer(learn("naive", start, [task] * 3, steps, 0.0, 0.0))
    what = "identical tasks: backward transfer (nats/event)"
    note = "judged on test trials, on which a few thousandths are noise"
    return Part({}, [above(what, 0.0, found.bwt, -0.005, "C46", note)])
