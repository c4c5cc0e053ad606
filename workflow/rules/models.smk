# Trials -> fits -> scores, predictions and dynamics.


def earlier(dataset, variant, fold):
    """The fit that a variant begins with on a recording: to the session before, where it asks for that."""
    before = STUDY.before(dataset)
    if before is None or not getattr(VARIANTS[dataset][variant].model, "after", None):
        return []
    return [path("fits", dataset=before, variant=variant, fold=fold)]


def gpus(wildcards):
    """How many a fit needs."""
    wanted = STUDY.device == "cuda" or (STUDY.device == "auto" and jobs.gpu_present())
    return int(spec(wildcards).role == "recurrent" and wanted)


rule fit:
    input:
        trials=rules.preprocess.output,
        split=rules.split.output,
        start=lambda w: earlier(w.dataset, w.variant, w.fold),
    output:
        params=path("fits"),
        card=path("cards"),
        curves=path("curves"),
    log:
        OUT + "/logs/fit/{dataset}/{variant}/fold{fold}.log",
    # before scores, which are short: they fill the other cores while the last fits run
    priority: 1
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=8000,
        runtime=24 * 60,
    params:
        spec=lambda w: spec(w).model_dump(mode="json"),
        members=STUDY.members,
        seed=STUDY.seed,
        device=STUDY.device,
        # not an output: it outlives a job that is killed, and the next one goes on from it
        checkpoint=path("checkpoints"),
        code=lambda w: code("fit", models.modules()[spec(w).family]),
    script:
        "../scripts/fit.py"


rule score:
    input:
        trials=rules.preprocess.output,
        split=rules.split.output,
        fit=rules.fit.output,
    output:
        scores=path("scores"),
        predictions=path("predictions"),
    log:
        OUT + "/logs/score/{dataset}/{variant}/fold{fold}.log",
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        burn_in=STUDY.burn_in,
        code=lambda w: code("score", models.modules()[spec(w).family]),
    script:
        "../scripts/score.py"


rule export:
    # On request: snakemake --cores 1 results/<study>/predictions/<dataset>/<variant>/fold0.csv
    input:
        rules.score.output.predictions,
    output:
        path("exports"),
    log:
        OUT + "/logs/export/{dataset}/{variant}/fold{fold}.log",
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        code=code("export"),
    script:
        "../scripts/export.py"


def label(wildcards):
    """The covariate whose values make conditions."""
    source = STUDY.datasets[wildcards.dataset]
    return source.stratify or next(iter(source.covariates), "")


rule control:
    # what the dynamics of a network are that was fitted to shuffled bins
    input:
        trials=rules.preprocess.output,
        split=rules.split.output,
    output:
        path("controls"),
    log:
        OUT + "/logs/controls/{dataset}/{variant}.log",
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=8000,
        runtime=24 * 60,
    params:
        spec=lambda w: spec(w).model_dump(mode="json"),
        members=STUDY.members,
        seed=STUDY.seed,
        device=STUDY.device,
        label=label,
        code=lambda w: code("control", models.modules()[spec(w).family]),
    script:
        "../scripts/control.py"


def refits(dataset, variant):
    """The refits that calibrate the intervals of a variant's dynamics, in order."""
    draws = range(STUDY.calibrate)
    return [path("refits", dataset=dataset, variant=variant, draw=d) for d in draws]


rule refit:
    # by how much quantities are missed where the truth is a fitted network
    input:
        trials=rules.preprocess.output,
        split=rules.split.output,
        fit=path("fits", fold=0),
    output:
        path("refits"),
    log:
        OUT + "/logs/refits/{dataset}/{variant}/{draw}.log",
    wildcard_constraints:
        draw=r"\d+",
    threads: 1
    resources:
        gpu=gpus,
        mem_mb=8000,
        runtime=24 * 60,
    params:
        seed=STUDY.seed,
        device=STUDY.device,
        code=lambda w: code("refit", models.modules()[spec(w).family]),
    script:
        "../scripts/refit.py"


rule dynamics:
    input:
        trials=rules.preprocess.output,
        split=rules.split.output,
        fit=rules.fit.output,
        shuffled=lambda w: (
            [path("controls", dataset=w.dataset, variant=w.variant)]
            if STUDY.controls
            else []
        ),
        refits=lambda w: refits(w.dataset, w.variant),
    output:
        product=path("dynamics"),
        table=path("dynamics_tables"),
    log:
        OUT + "/logs/dynamics/{dataset}/{variant}/fold{fold}.log",
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        seed=STUDY.seed,
        label=label,
        code=lambda w: code("dynamics", models.modules()[spec(w).family]),
    script:
        "../scripts/dynamics.py"
