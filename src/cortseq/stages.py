"""Every step of a study between its trials and its report, and how steps are put together into jobs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cortseq import costs, figures, jobs, models, plans, products
from cortseq.fingerprint import canonical, fingerprint
from cortseq.models.base import Model
from cortseq.models.work import Size
from cortseq.observations import TRACKS
from cortseq.products import TASKS, Facts
from cortseq.steps import Batch, Step, batches
from cortseq.study import Study

# Settings of the study that a task uses.
SETTINGS = {
    "forecasts": ("seed", "burn_in", "horizons", "samples", "samples_at_most", "forecast_trials"),
    "memory": ("burn_in",),
    "generation": ("seed", "burn_in"),
    "ceilings": ("seed", "burn_in"),
}
LEARNED = {"params": "fits", "card": "cards", "curves": "curves"}  # names in the script of what a fit writes
# About how many seconds a step takes on a recording of a usual size; a fit's are worked out.
SECONDS = {"score": 0.5, "forecasts": 3.0, "memory": 1.0, "generation": 1.0, "ceilings": 1.0, "quality": 5.0}
USUAL = {"train": 150, "valid": 40, "bins": 100, "features": 40}  # sizes of that recording
DISSECTED = 40.0  # seconds of one network's dynamics
DRAWN = 0.7  # seconds of a figure
MEASURED = 30.0  # seconds of a phenomenon


class Stages:
    """The steps of one study.

    A method that is named after a script of `workflow/scripts` returns one step of it.
    """

    def __init__(self, study: Study, scripts: Path) -> None:
        """`scripts`: folder of the scripts, whose code is part of what a step is made from."""
        self.study, self.scripts, self.out = study, scripts, f"results/{study.study}"
        self.variants = {name: study.variants(source.track) for name, source in study.datasets.items()}
        self.facts = plans.facts(study)
        self.whole = plans.whole(study)
        self.figures = figures.registry()
        self._codes: dict[tuple[str, ...], str] = {}

    # -- words of a step -----------------------------------------------------------------------------

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

    def _step(self, script: str, name: str, given: dict[str, Any], made: dict[str, str], **more: Any) -> Step:
        key = {wildcard: str(value) for wildcard, value in more.pop("key", {}).items()}
        modules = more.pop("modules", ())
        params = {**more.pop("params", {}), "code": self.code(script, *modules)}
        return Step(script, self.out, name, given, made, params, key, **more)

    def _recording(self, dataset: str) -> dict[str, Any]:
        """Trials and split of a recording, as lists: scripts take the first."""
        return {
            name: [self.path(of, dataset=dataset)] for name, of in (("trials", "trials"), ("split", "splits"))
        }

    def _on_gpu(self, model: Model) -> bool:
        wanted = self.study.device == "cuda" or (self.study.device == "auto" and jobs.gpu_present())
        return model.role == "recurrent" and wanted

    def _seconds(self, dataset: str, variant: str) -> float:
        """About how long a fit takes on a recording of a usual size."""
        track = self.study.datasets[dataset].track
        model = self.model(dataset, variant)
        found = costs.seconds(model, Size(track, members=self.study.members, **USUAL))
        return 60.0 if found is None else found

    # -- fits ----------------------------------------------------------------------------------------

    def earlier(self, dataset: str, variant: str, fold: int) -> list[str]:
        """Return the fit that a variant begins with: to the session before, where it asks for that."""
        before = self.study.before(dataset)
        if before is None or not getattr(self.model(dataset, variant), "after", None):
            return []
        return [self.path("fits", dataset=before, variant=variant, fold=fold)]

    def _fitting(self, dataset: str, variant: str) -> dict[str, Any]:
        """Return parameters of whatever fits a variant."""
        spec = self.model(dataset, variant).model_dump(mode="json")
        return {"spec": spec, **self.settings("members", "seed", "device")}

    def fit(self, dataset: str, variant: str, fold: int) -> Step:
        """Fit a variant."""
        key: dict[str, Any] = {"dataset": dataset, "variant": variant, "fold": fold}
        # a checkpoint is no output: it outlives a job that is killed, and the next one goes on from it
        params = self._fitting(dataset, variant) | {"checkpoint": self.path("checkpoints", **key)}
        return self._step(
            "fit",
            f"fit/{dataset}/{variant}/fold{fold}",
            self._recording(dataset) | {"start": self.earlier(dataset, variant, fold)},
            {
                name: self.path(of, **key)
                for name, of in (("params", "fits"), ("card", "cards"), ("curves", "curves"))
            },
            key=key,
            params=params,
            modules=[self.family(dataset, variant)],
            seconds=self._seconds(dataset, variant),
            gpu=self._on_gpu(self.model(dataset, variant)),
        )

    def score(self, dataset: str, variant: str, fold: int) -> Step:
        """Score a fit."""
        key: dict[str, Any] = {"dataset": dataset, "variant": variant, "fold": fold}
        return self._step(
            "score",
            f"score/{dataset}/{variant}/fold{fold}",
            self._recording(dataset) | {"fit": [self.path(product, **key) for product in LEARNED.values()]},
            {name: self.path(name, **key) for name in ("scores", "predictions")},
            key=key,
            params=self.settings("burn_in"),
            modules=[self.family(dataset, variant)],
            seconds=SECONDS["score"],
        )

    # -- tasks beside the next bin -------------------------------------------------------------------

    def task(self, task: str, dataset: str, model: str, fold: int) -> Step:
        """Do a task with the variant of a model that is best on validation."""
        variants = self.able(task, dataset)[model]
        at = {"dataset": dataset, "fold": fold}
        given = {of: [self.path(of, variant=v, **at) for v in variants] for of in ("fits", "scores")}
        return self._step(
            "task",
            f"{task}/{dataset}/{model}/fold{fold}",
            self._recording(dataset) | given | {"null": self.path("scores", variant="null", **at)},
            {"product": self.path(task, model=model, **at)},
            key={"task": task, "model": model, **at},
            params={"variants": variants, "study": self.settings(*SETTINGS[task])},
            modules=self.families(dataset, variants),
            seconds=SECONDS[task],
        )

    def able(self, task: str, dataset: str) -> dict[str, list[str]]:
        """Return the variants that can do a task, by model."""
        return plans.able(self.study, task, self.variants[dataset])

    def quality(self, dataset: str, fold: int) -> Step:
        """Measure the goodness of fit of all models."""
        variants = list(self.variants[dataset])
        by_model: dict[str, list[str]] = {}
        for variant in self.variants[dataset].values():
            by_model.setdefault(variant.model_name, []).append(variant.name)
        at = {"dataset": dataset, "fold": fold}
        given = {of: [self.path(of, variant=v, **at) for v in variants] for of in ("fits", "scores")}
        return self._step(
            "quality",
            f"quality/{dataset}/fold{fold}",
            self._recording(dataset) | given,
            {"table": self.path("quality", **at)},
            key=at,
            params={"variants": by_model, "study": self.settings("seed", "burn_in") | {"order": variants}},
            modules=self.families(dataset, variants),
            seconds=SECONDS["quality"],
        )

    def cosmooth(self, dataset: str) -> Step:
        """Predict held-out units; the smoothers are fitted there, since they serve this table only."""
        smoothers = [models.modules()[f] for f in ("null", "psth", "hmm") if f in models.modules()]
        return self._step(
            "cosmooth",
            f"cosmooth/{dataset}",
            self._recording(dataset),
            {"table": self.path("cosmoothing", dataset=dataset)},
            key={"dataset": dataset},
            params={"study": self.settings("seed", "members", "folds")},
            modules=smoothers,
            seconds=30.0,
        )

    def forgetting(self, variant: str) -> Step:
        """Say what is left of earlier sessions of the sequence."""
        sequence = self.study.sequence

        def fits(name: str) -> list[str]:
            folds = range(self.study.folds)
            return [self.path("fits", dataset=d, variant=name, fold=fold) for d in sequence for fold in folds]

        return self._step(
            "forgetting",
            f"forgetting/{variant}",
            {
                "trials": [self.path("trials", dataset=d) for d in sequence],
                "splits": [self.path("splits", dataset=d) for d in sequence],
                "fits": fits(variant),
                "nulls": fits("null"),
            },
            {"table": self.path("forgetting", variant=variant)},
            key={"variant": variant},
            params={"study": self.settings("sequence", "folds", "seed", "burn_in")},
            modules=[self.family(sequence[0], variant), models.modules()["null"]],
        )

    # -- dynamics ------------------------------------------------------------------------------------

    def control(self, dataset: str, variant: str) -> Step:
        """Fit a network to shuffled bins and examine its dynamics."""
        return self._step(
            "control",
            f"controls/{dataset}/{variant}",
            self._recording(dataset),
            {"product": self.path("controls", dataset=dataset, variant=variant)},
            key={"dataset": dataset, "variant": variant},
            params=self._fitting(dataset, variant) | {"label": self.label(dataset)},
            modules=[self.family(dataset, variant)],
            seconds=self._seconds(dataset, variant) + DISSECTED,
            gpu=self._on_gpu(self.model(dataset, variant)),
        )

    def refits(self, dataset: str, variant: str) -> list[str]:
        """Return the files of the refits that calibrate the intervals of a variant's dynamics, in order."""
        draws = range(self.study.calibrate)
        return [self.path("refits", dataset=dataset, variant=variant, draw=draw) for draw in draws]

    def refit(self, dataset: str, variant: str, draw: int) -> Step:
        """Measure by how much quantities are missed where the truth is a fitted network."""
        key = {"dataset": dataset, "variant": variant, "draw": draw}
        return self._step(
            "refit",
            f"refits/{dataset}/{variant}/{draw}",
            self._recording(dataset) | {"fit": [self.path("fits", dataset=dataset, variant=variant, fold=0)]},
            {"table": self.path("refits", **key)},
            key=key,
            params=self.settings("seed", "device"),
            modules=[self.family(dataset, variant)],
            seconds=self._seconds(dataset, variant) + DISSECTED,
            gpu=self._on_gpu(self.model(dataset, variant)),
        )

    def dynamics(self, dataset: str, variant: str) -> Step:
        """Examine a network, beside its controls."""
        key: dict[str, Any] = {"dataset": dataset, "variant": variant, "fold": 0}
        controls = [self.path("controls", **key)] if self.study.controls else []
        return self._step(
            "dynamics",
            f"dynamics/{dataset}/{variant}/fold0",
            self._recording(dataset)
            | {
                "fit": [self.path("fits", **key)],
                "shuffled": controls,
                "refits": self.refits(dataset, variant),
            },
            {"product": self.path("dynamics", **key), "table": self.path("dynamics_tables", **key)},
            key=key,
            params=self.settings("seed") | {"label": self.label(dataset)},
            modules=[self.family(dataset, variant)],
            seconds=DISSECTED,
        )

    # -- figures and what they stand on --------------------------------------------------------------

    def audit(self, dataset: str) -> Step:
        """Audit all variants of a recording."""
        variants, facts = self.variants[dataset], self.facts[dataset]
        first = {v.model_name: v for v in reversed(variants.values())}
        canaries = {v.name: v.model for v in first.values() if v.model.role != "null"}
        began = {v: files[0] for v in variants if (files := self.earlier(dataset, v, 0))}
        return self._step(
            "audit",
            f"audit/{dataset}",
            self._recording(dataset)
            | {of: self.files(of, facts) for of in ("fits", "scores")}
            | {"starts": list(began.values())},
            {"report": self.path("audits", dataset=dataset)},
            key={"dataset": dataset},
            params={
                "table": [list(column) for column in zip(*products.labels("fits", facts), strict=True)],
                "canaries": {name: model.model_dump(mode="json") for name, model in canaries.items()},
                "started": list(began),
            },
            modules=self.families(dataset, variants),
        )

    def figure(self, name: str, facts: Facts) -> Step:
        """Draw a figure; it stands on the comparison, and on audits that passed."""
        figure, dataset = self.figures[name], facts.dataset
        stem = f"{self.out}/figures/{name}_{dataset}" if dataset else f"{self.out}/figures/{name}"
        needs = {need: self.files(need, facts) for need in figure.needs}
        stands_on = {
            "comparison": [self.path("comparison")],
            "audits": [self.path("audits", dataset=d) for d in self.variants],
        }
        labels = {need: [list(key) for key in products.labels(need, facts)] for need in figure.needs}
        return self._step(
            "figure",
            f"figures/{Path(stem).name}",
            needs | stands_on,
            {suffix: f"{stem}.{suffix}" for suffix in ("svg", "pdf", "csv")},
            key={"figure": name, **({"dataset": dataset} if dataset else {})},
            params={"labels": labels},
            modules=[f"cortseq.figures.{name}"],
            seconds=DRAWN,
        )

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
    def carried(self) -> tuple[str, ...]:
        """Return the variants that learn the sessions of the sequence one after another."""
        return self.whole.carried

    # -- phenomena -----------------------------------------------------------------------------------

    def theory(self, phenomenon: str) -> Step:
        """Predict and measure a phenomenon."""
        settings = self.study.theory[phenomenon]
        dataset = settings.get("dataset")
        return self._step(
            "theory",
            f"theory/{phenomenon}",
            {"trials": [self.path("trials", dataset=dataset)] if dataset else []},
            {"product": self.path("theory", phenomenon=phenomenon)},
            key={"phenomenon": phenomenon},
            params={"settings": canonical(settings)} | self.settings("seed"),
            modules=[f"cortseq.textbook.phenomena.{phenomenon}"],
            seconds=MEASURED,
        )

    def figure_theory(self, phenomenon: str) -> Step:
        """Draw a phenomenon."""
        stem = f"{self.out}/figures/theory_{phenomenon}"
        return self._step(
            "figure_theory",
            f"figures/theory_{phenomenon}",
            {"found": self.path("theory", phenomenon=phenomenon)},
            {suffix: f"{stem}.{suffix}" for suffix in ("svg", "pdf", "csv")},
            key={"phenomenon": phenomenon},
            modules=[f"cortseq.textbook.figures.{phenomenon}"],
            seconds=DRAWN,
        )

    # -- jobs ----------------------------------------------------------------------------------------

    def batches(self) -> list[Batch]:
        """Return all steps but the audits, put together into jobs of about `batch_minutes`."""
        found: list[Batch] = []
        for facts in self.facts.values():
            found += [*self._fits(facts), *self._dissections(facts), *self._tasks(facts)]
            found += self._batches(
                f"figures_{facts.dataset}", [[self.figure(f, facts) for f in self.drawn(facts)]]
            )
        phenomena = [[self.theory(name), self.figure_theory(name)] for name in self.study.theory]
        found += self._batches("theory", phenomena, minutes=240)
        found += self._batches("forgetting", [[self.forgetting(variant)] for variant in self.carried])
        found += self._batches(
            "figures", [[self.figure(name, self.whole) for name in self.drawn(self.whole)]]
        )
        return found

    def _batches(self, name: str, groups: list[list[Step]], **asked: int) -> list[Batch]:
        return batches(name, [group for group in groups if group], 60 * self.study.batch_minutes, **asked)

    def _fits(self, facts: Facts) -> list[Batch]:
        """Fits with their scores: of each fold those without networks in one job, networks by their cost."""
        found, dataset = [], facts.dataset
        for fold in range(self.study.folds):
            pairs = {
                variant: [self.fit(dataset, variant, fold), self.score(dataset, variant, fold)]
                for variant in facts.variants
            }
            plain = [
                step for variant, pair in pairs.items() if variant not in facts.recurrent for step in pair
            ]
            networks = [pair for variant, pair in pairs.items() if variant in facts.recurrent]
            # before scores and tasks, which are short: they fill the other cores while the last fits run
            asked = {"minutes": 24 * 60, "priority": 1}
            found += self._batches(f"fits_{dataset}_fold{fold}_plain", [plain], **asked)
            found += self._batches(f"fits_{dataset}_fold{fold}_networks", networks, **asked)
        return found

    def _dissections(self, facts: Facts) -> list[Batch]:
        dataset, asked = facts.dataset, {"minutes": 24 * 60}
        controls = [[self.control(dataset, v)] for v in facts.flowing if self.study.controls]
        draws = range(self.study.calibrate)
        refits = [[self.refit(dataset, v, draw)] for v in facts.flowing for draw in draws]
        dynamics = [[self.dynamics(dataset, v)] for v in facts.flowing]
        return [
            *self._batches(f"controls_{dataset}", controls, **asked),
            *self._batches(f"refits_{dataset}", refits, **asked),
            *self._batches(f"dynamics_{dataset}", dynamics),
        ]

    def _tasks(self, facts: Facts) -> list[Batch]:
        dataset = facts.dataset
        steps = [
            self.task(task, dataset, model, fold)
            for task in TASKS
            for model in facts.tasks.get(task, ())
            for fold in range(self.study.folds)
        ]
        steps += [self.quality(dataset, key["fold"]) for key in products.keys("quality", facts)]
        steps += [self.cosmooth(d) for d in self.smoothed if d == dataset]
        return self._batches(f"tasks_{dataset}", [[step] for step in steps])
