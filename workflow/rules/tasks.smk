# The prediction tasks beside the next bin: bins further ahead, the last k bins only, free runs, held-out units, and
# what is left of earlier sessions.


ABLE = {
    "forecasts": lambda model: bool(STUDY.horizons) and model.has_forecast,
    "memory": lambda model: model.has_flow,
    "generation": lambda model: model.role != "null",
}


def able(task, dataset):
    """Variants that can do a task, by model; of those the one that is best on validation does it."""
    found = {}
    for variant in VARIANTS[dataset].values():
        if ABLE[task](variant.model):
            found.setdefault(variant.model_name, []).append(variant.name)
    return found


def candidates(task, pattern):
    """Input function: a product of every variant of a model that can do the task."""
    return lambda w: [
        f"{OUT}/{pattern.format(stem=f'{w.dataset}/{variant}/fold{w.fold}')}"
        for variant in able(task, w.dataset)[w.model]
    ]


def done(task, dataset, suffix):
    """Products of a task for all models and folds of a recording."""
    return [
        f"{OUT}/{task}/{dataset}/{model}/fold{fold}.{suffix}"
        for model in able(task, dataset)
        for fold in FOLDS
    ]


def families(task):
    """Names and code of the candidates' families."""
    return lambda w: {
        models.modules()[VARIANTS[w.dataset][v].model.family]
        for v in able(task, w.dataset)[w.model]
    }


rule forecast:
    input:
        trials=rules.preprocess.output,
        split=rules.split.output,
        fits=candidates("forecasts", "fits/{stem}.safetensors"),
        scores=candidates("forecasts", "scores/{stem}.zarr.zip"),
    output:
        OUT + "/forecasts/{dataset}/{model}/fold{fold}.zarr.zip",
    log:
        OUT + "/logs/forecast/{dataset}/{model}/fold{fold}.log",
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        variants=lambda w: able("forecasts", w.dataset)[w.model],
        study={
            key: getattr(STUDY, key)
            for key in ("seed", "burn_in", "horizons", "samples", "forecast_trials")
        },
        code=lambda w: code("forecast", *families("forecasts")(w)),
    script:
        "../scripts/forecast.py"


rule memory:
    input:
        trials=rules.preprocess.output,
        split=rules.split.output,
        fits=candidates("memory", "fits/{stem}.safetensors"),
        scores=candidates("memory", "scores/{stem}.zarr.zip"),
    output:
        OUT + "/memory/{dataset}/{model}/fold{fold}.zarr.zip",
    log:
        OUT + "/logs/memory/{dataset}/{model}/fold{fold}.log",
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        variants=lambda w: able("memory", w.dataset)[w.model],
        study={key: getattr(STUDY, key) for key in ("burn_in",)},
        code=lambda w: code("memory", *families("memory")(w)),
    script:
        "../scripts/memory.py"


rule generation:
    input:
        trials=rules.preprocess.output,
        split=rules.split.output,
        fits=candidates("generation", "fits/{stem}.safetensors"),
        scores=candidates("generation", "scores/{stem}.zarr.zip"),
    output:
        OUT + "/generation/{dataset}/{model}/fold{fold}.csv",
    log:
        OUT + "/logs/generation/{dataset}/{model}/fold{fold}.log",
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        variants=lambda w: able("generation", w.dataset)[w.model],
        study={key: getattr(STUDY, key) for key in ("seed", "burn_in")},
        code=lambda w: code("generation", *families("generation")(w)),
    script:
        "../scripts/generation.py"


rule cosmooth:
    # smoothers are fitted here: they serve this table only
    input:
        trials=rules.preprocess.output,
        split=rules.split.output,
    output:
        OUT + "/cosmoothing/{dataset}.csv",
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
CARRIED = [
    name
    for name, variant in (VARIANTS[STUDY.sequence[0]].items() if STUDY.sequence else ())
    if getattr(variant.model, "after", None)
]


def in_sequence(pattern):
    """Fits to the sessions of the sequence, the folds of the first session first."""
    return lambda w: [
        f"{OUT}/fits/{dataset}/{pattern.format(variant=w.variant)}/fold{fold}.safetensors"
        for dataset in STUDY.sequence
        for fold in FOLDS
    ]


rule forgetting:
    input:
        trials=expand(rules.preprocess.output, dataset=STUDY.sequence),
        splits=expand(rules.split.output, dataset=STUDY.sequence),
        fits=in_sequence("{variant}"),
        nulls=in_sequence("null"),
    output:
        OUT + "/forgetting/{variant}.csv",
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
        ),
    script:
        "../scripts/forgetting.py"
