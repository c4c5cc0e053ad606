"""Where the products of a study lie, which of them exist, and how a job reads those it was given.

A product has one path pattern here and nowhere else: rules, figures and the report name a product,
not a folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cortseq import store
from cortseq.observations.tracks import TRACKS

PATHS = {
    "recordings": "recordings/{dataset}.zarr.zip",
    "trials": "trials/{dataset}.zarr.zip",
    "splits": "splits/{dataset}.json",
    "fits": "fits/{dataset}/{variant}/fold{fold}.safetensors",
    "cards": "fits/{dataset}/{variant}/fold{fold}.json",
    "curves": "fits/{dataset}/{variant}/fold{fold}.parquet",
    "checkpoints": "checkpoints/{dataset}/{variant}/fold{fold}.safetensors",
    "scores": "scores/{dataset}/{variant}/fold{fold}.zarr.zip",
    "predictions": "predictions/{dataset}/{variant}/fold{fold}.zarr.zip",
    "exports": "predictions/{dataset}/{variant}/fold{fold}.csv",
    "dynamics": "dynamics/{dataset}/{variant}/fold{fold}.zarr.zip",
    "dynamics_tables": "dynamics/{dataset}/{variant}/fold{fold}.csv",
    "shared_dynamics": "dynamics/{dataset}/{variant}/fold{fold}.zarr.zip",  # of all sessions with one cell
    "controls": "controls/{dataset}/{variant}.zarr.zip",
    "refits": "refits/{dataset}/{variant}/{draw}.csv",
    "forecasts": "forecasts/{dataset}/{model}/fold{fold}.zarr.zip",
    "memory": "memory/{dataset}/{model}/fold{fold}.zarr.zip",
    "generation": "generation/{dataset}/{model}/fold{fold}.csv",
    "quality": "quality/{dataset}/fold{fold}.csv",
    "ceilings": "ceilings/{dataset}/{model}/fold{fold}.csv",
    "cosmoothing": "cosmoothing/{dataset}.csv",
    "forgetting": "forgetting/{variant}.csv",
    "audits": "audits/{dataset}.json",
    "comparison": "comparison.csv",
    "variants": "variants.csv",
    "budget": "budget.csv",
    "sessions": "sessions.csv",
    "corners": "corners.csv",
    "together": "together.csv",
    "claims": "claims.csv",
    "failures": "failures.csv",
    "timing": "timing.csv",
    "theory": "theory/{phenomenon}.zarr.zip",
}
TASKS = ("forecasts", "memory", "generation", "ceilings")
EVIDENCE = ("cards", "scores", *TASKS, "dynamics_tables")  # what claims rest on, beside the comparison


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a recording and its models before anything is computed.

    The facts of the whole study have no `dataset`; only `carried`, `shared`, `joined` and
    `widths` are theirs.
    """

    dataset: str = ""
    track: str = ""  # "counts", "symbols" or "signal"
    folds: int = 1
    variants: tuple[str, ...] = ()
    recurrent: tuple[str, ...] = ()  # variants that are networks
    flowing: tuple[str, ...] = ()  # variants whose dynamics are dissected
    roles: frozenset[str] = frozenset()  # of the models: recurrent, markov, baseline, null
    tasks: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict
    )  # task -> models that do it
    signed: bool = False  # some dissected network obeys Dale's law
    driven: bool = False  # the recording has inputs
    plastic: bool = False  # some dissected network has synapses with short-term plasticity
    saturating: bool = False  # some dissected network has tanh units
    carried: tuple[str, ...] = ()  # variants that learn the sessions of a sequence one after another
    shared: tuple[str, ...] = ()  # variants that are fitted across sessions with one cell
    joined: tuple[tuple[str, str], ...] = ()  # such a variant that is dissected, and each of its sessions
    widths: tuple[str, ...] = ()  # entries of recordings that are cut into bins of several widths


def path(out: str, product: str, **wildcards: Any) -> str:
    """Return the path of a product below `out`; a wildcard that is not given stays in the pattern."""
    pattern = PATHS[product]
    for name, value in wildcards.items():
        pattern = pattern.replace(f"{{{name}}}", str(value))
    return sys.intern(f"{out}/{pattern}")  # a large study names the same files many times


def keys(product: str, facts: Facts) -> list[dict[str, Any]]:
    """Return the wildcards of every file of a product of a recording, without `dataset`, or of the study."""
    pattern, folds = PATHS[product], range(facts.folds)
    if product in TASKS:
        return [{"model": model, "fold": fold} for model in facts.tasks.get(product, ()) for fold in folds]
    if product == "quality":  # labels have no order: no distribution function
        return [{"fold": fold} for fold in folds if not TRACKS[facts.track].has_labels]
    if product == "forgetting":
        return [{"variant": variant} for variant in facts.carried]
    if product == "shared_dynamics":
        return [{"variant": variant, "dataset": dataset, "fold": 0} for variant, dataset in facts.joined]
    if "{variant}" not in pattern:
        return [{}]
    if product in ("fits", "scores"):
        return [{"variant": variant, "fold": fold} for variant in facts.variants for fold in folds]
    flowing = dict.fromkeys(("dynamics", "dynamics_tables", "controls"), facts.flowing)
    narrower = {"curves": facts.recurrent, **flowing}
    return [{"variant": variant, "fold": 0} for variant in narrower.get(product, facts.variants)]


def labels(product: str, facts: Facts) -> list[tuple[Any, ...]]:
    """Return the keys of `Products`: the values of `keys` alone, such as (variant, fold)."""
    return [tuple(key.values()) for key in keys(product, facts)]


def files(out: str, product: str, facts: Facts) -> list[str]:
    """Return the paths of a product of one recording (or of the study), in the order of `keys`."""
    return [path(out, product, **({"dataset": facts.dataset} | key)) for key in keys(product, facts)]


class Products:
    """The files that a job was given, by product and key; a file is read when it is asked for."""

    def __init__(self, dataset: str, given: Mapping[str, list[tuple[tuple[Any, ...], str]]]) -> None:
        """`dataset`: "" for the whole study; `given`: product -> pairs of a key and a path.

        Files that only say why a product could not be made are left out, where others of their kind were.
        """
        self.dataset = dataset
        whys = {file: store.failure(file) for pairs in given.values() for _, file in pairs}
        self._lost = [why for why in whys.values() if why is not None]
        self._files = {}
        for name, pairs in given.items():
            made = [(key, file) for key, file in pairs if whys[file] is None]
            self._files[name] = {tuple(key): file for key, file in made or pairs}

    @classmethod
    def below(cls, out: str, products: Iterable[str], facts: Facts) -> Products:
        """Products of a finished study that lies below `out`."""
        pairs = {
            name: list(zip(labels(name, facts), files(out, name, facts), strict=True)) for name in products
        }
        return cls(facts.dataset, pairs)

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """Let what cannot be done without the files that failed raise `Failed` in their words."""
        try:
            yield
        except Exception as error:
            if self._lost:
                raise store.Failed(self._lost[0]) from error
            raise

    def keys(self, product: str) -> list[tuple[Any, ...]]:
        """Return the key of every file of a product."""
        return list(self._files[product])

    def folds(self, product: str, only: str = "") -> dict[str, list[Any]]:
        """Return the contents of all folds, by variant or model (all of them, or `only` one).

        One that failed in a fold is left out.
        """
        found: dict[str, list[Any]] = {}
        for key in self._files[product]:
            if key[0] == only or not only:
                found.setdefault(key[0], []).append(self.read(product, *key))
        whole = max(map(len, found.values()), default=0)
        return {name: folds for name, folds in found.items() if len(folds) == whole}

    def each(self, product: str) -> Iterator[tuple[str, Any]]:
        """Pairs of the first part of a key (variant or model) and the content of its file."""
        for key in self._files[product]:
            yield key[0], self.read(product, *key)

    def read(self, product: str, *key: Any) -> Any:
        """Content of one file: an xarray.Dataset, a table, or parsed JSON."""
        file = Path(self._files[product][key])
        if file.name.endswith(".zarr.zip"):
            return store.read(file)
        return store.read_json(file) if file.suffix == ".json" else store.read_table(file)
