"""What is known of a study before it runs, in the words in which its steps are said."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortseq import costs, figures, jobs, models, plans, products
from cortseq.fingerprint import fingerprint
from cortseq.models.base import Model
from cortseq.models.work import Size
from cortseq.observations import TRACKS
from cortseq.products import Facts
from cortseq.stages import work
from cortseq.steps import Step

if TYPE_CHECKING:
    from cortseq.study import Study

# Sizes of a recording, by which steps share jobs: what a job holds is settled before anything is read.
USUAL = {"train": 150, "valid": 40, "test": 50, "bins": 100, "features": 40}
_UNKNOWN = 60.0  # seconds of a fit of a family that was not measured


class Plan:
    """A study, its recordings and models, and where its products lie."""

    def __init__(self, study: Study, scripts: Path | None, sizes: Mapping[str, Size] | None = None) -> None:
        """Plan a study.

        Parameters
        ----------
        scripts : folder of the scripts, whose code is part of every step; None: only to count.
        sizes : of the first fold of each recording, for the seconds of steps; those that are not given are
            usual ones.
        """
        self.study, self.scripts, self.out = study, scripts, f"results/{study.study}"
        self.sizes = dict(sizes or {})
        self.costs: dict[str, costs.Cost] = {}  # of every step that was asked for, by its name
        self.variants = {name: study.variants(source.track, name) for name, source in study.datasets.items()}
        self.facts = plans.facts(study)
        self.whole = plans.whole(study)
        self.figures = figures.registry()
        self._codes: dict[tuple[str, ...], str] = {}

    def path(self, product: str, **key: Any) -> str:
        """Return the path of a product; wildcards that are not given stay in the pattern."""
        return products.path(self.out, product, **key)

    def files(self, product: str, facts: Facts) -> list[str]:
        """Return the files of a product of one recording, or of the study."""
        return products.files(self.out, product, facts)

    def every(self, product: str) -> list[str]:
        """Return the files of a product of all recordings."""
        return [file for facts in self.facts.values() for file in self.files(product, facts)]

    def code(self, script: str, *modules: str) -> str:
        """Return the fingerprint of a script and of the modules it uses, families and sources named apart."""
        if self.scripts is None:
            return ""
        known = (script, *modules)
        if known not in self._codes:
            self._codes[known] = fingerprint(self.scripts / f"{script}.py", *modules)
        return self._codes[known]

    def family(self, dataset: str, variant: str) -> str:
        """Return the module of a variant's family."""
        return models.modules()[self.model(dataset, variant).family]

    def families(self, dataset: str, variants: Iterable[str]) -> list[str]:
        """Return the modules of the families of several variants."""
        return sorted({self.family(dataset, variant) for variant in variants})

    def model(self, dataset: str, variant: str) -> Model:
        """Return the specification of a variant."""
        return self.variants[dataset][variant].model

    def settings(self, *names: str) -> dict[str, Any]:
        """Return settings of the study by name."""
        return {name: getattr(self.study, name) for name in names}

    def label(self, dataset: str) -> str:
        """Return the covariate whose values make conditions, "" where there is none."""
        source = self.study.datasets[dataset]
        return source.stratify or next(iter(source.covariates), "")

    def step(
        self,
        script: str,
        name: str,
        given: dict[str, Any],
        made: dict[str, str],
        cost: costs.Cost,
        **more: Any,
    ) -> Step:
        """Return a step of a script; `modules` are those of its code that no import statement names."""
        key = {wildcard: str(value) for wildcard, value in more.pop("key", {}).items()}
        modules = more.pop("modules", ())
        self.costs[name] = cost
        seconds = sum(costs.of_step(cost).values())
        params = {**more.pop("params", {}), "code": self.code(script, *modules)}
        return Step(script, self.out, name, given, made, params, key, float(f"{seconds:.3g}"), **more)

    def recording(self, dataset: str) -> dict[str, Any]:
        """Return the trials and the split of a recording, as lists: scripts take the first."""
        return {
            "trials": [self.path("trials", dataset=dataset)],
            "split": [self.path("splits", dataset=dataset)],
        }

    def on_gpu(self, model: Model) -> bool:
        """Return whether a fit of a model computes on an accelerator."""
        wanted = self.study.device == "cuda" or (self.study.device == "auto" and jobs.gpu_present())
        return model.uses_gpu and wanted

    def size(self, dataset: str) -> Size:
        """Return the sizes of a fit to a recording."""
        usual = Size(self.study.datasets[dataset].track, **USUAL)
        return dataclasses.replace(self.sizes.get(dataset, usual), members=self.study.members)

    def fit_seconds(self, model: Model, size: Size) -> float:
        """Return about how many seconds a fit takes."""
        found = costs.seconds(model, size)
        return _UNKNOWN if found is None else found

    def fit_cost(self, dataset: str, variant: str) -> costs.Cost:
        """Return the cost of a fit of a variant."""
        model = self.model(dataset, variant)
        return work.fit(model, self.fit_seconds(model, self.size(dataset)))

    def drawn(self, facts: Facts) -> list[str]:
        """Return the figures of the study or of a recording, in the order of the report."""
        scope = "recording" if facts.dataset else "study"
        return [
            name for name, figure in self.figures.items() if figure.scope == scope and figure.applies(facts)
        ]

    @property
    def smoothed(self) -> list[str]:
        """Return the recordings whose held-out units are predicted."""
        counted = [d for d, facts in self.facts.items() if TRACKS[facts.track].has_events]
        return counted if self.study.cosmoothing else []

    @property
    def compares(self) -> bool:
        """Return whether models of recordings are compared; a study may have phenomena of theory only."""
        return bool(self.study.datasets and self.study.models)
