# The prediction tasks beside the next bin: bins further ahead, the last k bins only, free runs, held-out units, and
# what is left of earlier sessions.


# The settings of the study that a task uses.
SETTINGS = {
    "forecasts": (
        "seed",
        "burn_in",
        "horizons",
        "samples",
        "samples_at_most",
        "forecast_trials",
    ),
    "memory": ("burn_in",),
    "generation": ("seed", "burn_in"),
    "ceilings": ("seed", "burn_in"),
}


def able(task, dataset):
    """Variants that can do a task, by model; of those the one that is best on validation does it."""
    return plans.able(STUDY, task, VARIANTS[dataset])


def candidates(product):
    """Input function: a product of every variant of a model that can do the task."""
    return lambda w: [
        path(product, dataset=w.dataset, variant=variant, fold=w.fold)
        for variant in able(w.task, w.dataset)[w.model]
    ]


def families(w):
    """Code of the candidates' families."""
    variants = able(w.task, w.dataset)[w.model]
    return {models.modules()[VARIANTS[w.dataset][v].model.family] for v in variants}


rule task:
    # forecasts, limited memory, free runs, ceilings
    input:
        trials=rules.preprocess.output,
        split=rules.split.output,
        fits=candidates("fits"),
        scores=candidates("scores"),
        null=lambda w: path("scores", dataset=w.dataset, variant="null", fold=w.fold),
    output:
        OUT + "/{task}/{dataset}/{model}/fold{fold}.{suffix}",
    log:
        OUT + "/logs/{task}/{dataset}/{model}/fold{fold}.{suffix}.log",
    wildcard_constraints:
        task="|".join(products.TASKS),
        suffix=r"zarr\.zip|csv",
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        variants=lambda w: able(w.task, w.dataset)[w.model],
        study=lambda w: {key: getattr(STUDY, key) for key in SETTINGS[w.task]},
        code=lambda w: code("task", *families(w)),
    script:
        "../scripts/task.py"


def of_fold(product):
    """Input function: a product of all variants on one fold."""
    return lambda w: [
        path(product, dataset=w.dataset, variant=variant, fold=w.fold)
        for variant in VARIANTS[w.dataset]
    ]


def by_model(dataset):
    """Variants of each model."""
    found = {}
    for variant in VARIANTS[dataset].values():
        found.setdefault(variant.model_name, []).append(variant.name)
    return found


rule quality:
    # goodness of fit of all models
    input:
        trials=rules.preprocess.output,
        split=rules.split.output,
        fits=of_fold("fits"),
        scores=of_fold("scores"),
    output:
        path("quality"),
    log:
        OUT + "/logs/quality/{dataset}/fold{fold}.log",
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        variants=lambda w: by_model(w.dataset),
        study=lambda w: {
            "seed": STUDY.seed,
            "burn_in": STUDY.burn_in,
            "order": list(VARIANTS[w.dataset]),
        },
        code=lambda w: code(
            "quality",
            *{models.modules()[v.model.family] for v in VARIANTS[w.dataset].values()},
        ),
    script:
        "../scripts/quality.py"


rule cosmooth:
    # smoothers are fitted here: they serve this table only
    input:
        trials=rules.preprocess.output,
        split=rules.split.output,
    output:
        path("cosmoothing"),
    log:
        OUT + "/logs/cosmooth/{dataset}.log",
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        study={key: getattr(STUDY, key) for key in ("seed", "members", "folds")},
        code=code(
            "cosmooth",
            *(
                models.modules()[f]
                for f in ("null", "psth", "hmm")
                if f in models.registry()
            ),
        ),
    script:
        "../scripts/cosmooth.py"


# Variants that learn the sessions of the sequence one after another.
CARRIED = plans.carried(STUDY)


def in_sequence(variant):
    """Fits to the sessions of the sequence, the folds of the first session first."""
    return [
        path("fits", dataset=dataset, variant=variant, fold=fold)
        for dataset in STUDY.sequence
        for fold in FOLDS
    ]


rule forgetting:
    input:
        trials=expand(rules.preprocess.output, dataset=STUDY.sequence),
        splits=expand(rules.split.output, dataset=STUDY.sequence),
        fits=lambda w: in_sequence(w.variant),
        nulls=lambda w: in_sequence("null"),
    output:
        path("forgetting"),
    log:
        OUT + "/logs/forgetting/{variant}.log",
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        study={
            key: getattr(STUDY, key)
            for key in ("sequence", "folds", "seed", "burn_in")
        },
        code=lambda w: code(
            "forgetting",
            models.modules()[VARIANTS[STUDY.sequence[0]][w.variant].model.family],
            models.modules()["null"],
        ),
    script:
        "../scripts/forgetting.py"
