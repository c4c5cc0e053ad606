"""What a finished study knows of the best network of one recording: the tables that claims rest on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cortseq import models
from cortseq._lazy import pd
from cortseq.observations.tracks import Track
from cortseq.products import Products
from cortseq.scoring import failures, tasks
from cortseq.scoring.scored import chosen
from cortseq.scoring.statistics import MARGIN


@dataclass(frozen=True)
class Evidence:
    """Tables of one recording that concern the network that is best on validation.

    Attributes
    ----------
    rows : of comparison.csv that have numbers and are no averages.
    row : of the network; None where the study has none.
    memory : gain of the whole past over windows, re-trained networks, with the column `model`.
    ahead : rows of `tasks.horizon_table` of the network, without plug-ins.
    ahead_of_rival : the same over the forecasts of the best model that is no network, `row["rival"]`.
    dynamics : summary of the dynamics (`dynamics.summary`) of the network that is best on validation of those
        that have any; empty where none has.
    moving : row of that network in comparison.csv; None where there is none.
    dale : row of a paired difference, `signed` and `free` name the variants; None where there is no pair.
    generation : free runs by member, statistic and measure.
    corners : rows of corners.csv, none without inputs.
    margin : of equivalence, in the unit of the score.
    """

    rows: pd.DataFrame
    row: dict[str, Any] | None
    memory: pd.DataFrame = field(default_factory=lambda: pd.DataFrame())
    ahead: pd.DataFrame = field(default_factory=lambda: pd.DataFrame())
    ahead_of_rival: pd.DataFrame = field(default_factory=lambda: pd.DataFrame())
    dynamics: pd.DataFrame = field(default_factory=lambda: pd.DataFrame())
    moving: dict[str, Any] | None = None
    dale: dict[str, Any] | None = None
    generation: pd.DataFrame = field(default_factory=lambda: pd.DataFrame())
    corners: pd.DataFrame = field(default_factory=lambda: pd.DataFrame())
    margin: float = MARGIN


def gather(
    products: Products,
    comparison: pd.DataFrame,
    variants: pd.DataFrame,
    corners: pd.DataFrame,
    kind: Track,
    continuous: bool,
) -> Evidence:
    """Read the evidence of one recording.

    Parameters
    ----------
    products : of `products.EVIDENCE`, files that only say why they could not be made left out.
    comparison, variants, corners : of the whole study.
    kind, continuous : of the recording.
    """
    dataset = products.dataset
    rows, _ = failures.split(comparison[comparison["dataset"] == dataset])
    rows = rows[~rows["averaged"].astype(bool)]
    table = variants[variants["dataset"] == dataset]
    best = [name for name in chosen(variants, dataset, "recurrent") if name in _scored(products)]
    if not best:
        return Evidence(rows, None)
    model_of = table.set_index("variant")["model"]
    by_model = {line["model"]: line for line in rows.to_dict("records")}
    network = model_of[best[0]]
    row = by_model[network]
    burn_in = int(products.folds("scores", best[0])[best[0]][0].attrs["burn_in"])
    known = {key[0]: key for key in reversed(products.keys("dynamics_tables"))}
    moving = next((name for name in best if name in known), None)
    runs = products.folds("generation", network).get(network, [])
    return Evidence(
        rows,
        row,
        memory=memory(products, table, kind, continuous, burn_in),
        ahead=_ahead(products, network, "null", burn_in),
        ahead_of_rival=_ahead(products, network, _model_of(table, row["rival"]), burn_in),
        dynamics=products.read("dynamics_tables", *known[moving]) if moving else pd.DataFrame(),
        moving=by_model.get(model_of[moving]) if moving else None,
        dale=_dale(products, table, best, kind, continuous, burn_in),
        generation=pd.concat(runs) if runs else pd.DataFrame(),
        corners=corners[corners["dataset"] == dataset],
        margin=float(row["equivalence_margin"]),
    )


def _scored(products: Products) -> set[str]:
    """Variants that have scores and a card of the first fold."""
    return {v for v, _ in products.keys("scores")} & {v for v, _ in products.keys("cards")}


def memory(
    products: Products, variants: pd.DataFrame, kind: Track, continuous: bool, burn_in: int
) -> pd.DataFrame:
    """Return the rows of `tasks.memory_retrained` of every network that has twins of limited memory.

    A twin differs from the network with the whole past in `memory` only.

    Parameters
    ----------
    products : of `cards` and `scores`.
    variants : rows of variants.csv of the recording.
    """
    networks = variants[variants["role"] == "recurrent"]
    known = _scored(products)
    model_of = {v: m for v, m in zip(networks["variant"], networks["model"], strict=True) if v in known}
    specs = {variant: products.read("cards", variant, 0)["model"] for variant in model_of}
    rows = []
    for short, spec in specs.items():
        full = [variant for variant, other in specs.items() if other == spec | {"memory": None}]
        if spec["memory"] is not None and full:
            whole, windows = (products.folds("scores", name)[name] for name in (full[0], short))
            row = tasks.memory_retrained(whole, windows, spec["memory"], kind.name, continuous, burn_in)
            names = {"model": model_of[full[0]], "variant": full[0]}
            rows.append(row | names | {"members": _members(windows)})
    return pd.DataFrame(rows)


def _model_of(variants: pd.DataFrame, variant: str) -> str:
    """Return the model of a variant; of the first one where folds chose several."""
    rows = variants[variants["variant"] == str(variant).split("/")[0]]
    return str(rows["model"].iloc[0]) if len(rows) else ""


def _ahead(products: Products, network: str, other: str, burn_in: int) -> pd.DataFrame:
    """Return the forecasts of the network over those of another model, which it may not have."""
    mine, theirs = (products.folds("forecasts", name).get(name, []) for name in (network, other))
    if not mine or len(mine) != len(theirs):
        return pd.DataFrame()
    return tasks.horizon_difference(mine, theirs, burn_in)


def _dale(
    products: Products,
    variants: pd.DataFrame,
    best: list[str],
    kind: Track,
    continuous: bool,
    burn_in: int,
) -> dict[str, Any] | None:
    """Return what Dale's law costs: a signed network less the unconstrained one most like it.

    The signed network is the one that is best on validation. The other has as many hidden units, plastic
    synapses where the first has, and most settings in common with it.
    """
    known = _scored(products)
    names = [v for v in variants.loc[variants["role"] == "recurrent", "variant"] if v in known]
    specs = {name: products.read("cards", name, 0)["model"] for name in names}
    kinds = {name: _model(spec) for name, spec in specs.items()}
    signed = {name for name, model in kinds.items() if model.signed}
    if not (mine := [name for name in best if name in signed]):
        return None
    given = specs[mine[0]]
    alike = {
        name: len(_settings(spec) & _settings(given)) / len(_settings(spec) | _settings(given))
        for name, spec in specs.items()
        if name not in signed
        and kinds[name].plastic == kinds[mine[0]].plastic
        and all(spec.get(key) == given.get(key) for key in _SAME)
    }
    if not alike:
        return None
    free = max(alike, key=lambda name: alike[name])
    first, second = (products.folds("scores", name)[name] for name in (mine[0], free))
    if len(first) != len(second):
        return None
    row = tasks.contrast(first, second, kind.name, continuous, burn_in)
    return row | {"signed": mine[0], "free": free, "members": min(_members(first), _members(second))}


_SAME = ("hidden", "memory", "discretise", "skip")


def _settings(spec: dict[str, Any]) -> set[str]:
    return {f"{key}: {value}" for key, value in spec.items()}


def _members(folds: list[Any]) -> int:
    return min(int(f.sizes["member"]) for f in folds)


def _model(spec: dict[str, Any]) -> Any:
    return models.find(spec["family"]).model_validate(spec)
