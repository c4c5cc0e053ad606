# Audits, the comparison, figures and the report.


def stems(dataset, folds=FOLDS):
    return [
        f"{dataset}/{variant}/fold{fold}"
        for variant in VARIANTS[dataset]
        for fold in folds
    ]


def every(pattern):
    """A product of all variants of all recordings."""
    return [
        f"{OUT}/{pattern.format(stem=stem)}"
        for dataset in VARIANTS
        for stem in stems(dataset)
    ]


def canaries(dataset):
    """One variant of each model: over-optimism is a matter of the family and its code."""
    first = {v.model_name: v for v in reversed(VARIANTS[dataset].values())}
    return {
        v.name: v.model.model_dump(mode="json")
        for v in first.values()
        if v.model.role != "null"
    }


def started(dataset):
    """Of variants that began with an earlier fit that fit, of the first fold."""
    files = {v: earlier(dataset, v, 0) for v in VARIANTS[dataset]}
    return {variant: found[0] for variant, found in files.items() if found}


rule audit:
    input:
        trials=rules.preprocess.output,
        split=rules.split.output,
        fits=lambda w: [f"{OUT}/fits/{stem}.safetensors" for stem in stems(w.dataset)],
        scores=lambda w: [f"{OUT}/scores/{stem}.zarr.zip" for stem in stems(w.dataset)],
        starts=lambda w: list(started(w.dataset).values()),
    output:
        OUT + "/audits/{dataset}.json",
    log:
        OUT + "/logs/audit/{dataset}.log",
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        table=lambda w: list(zip(*[(v, f) for v in VARIANTS[w.dataset] for f in FOLDS])),
        canaries=lambda w: canaries(w.dataset),
        started=lambda w: list(started(w.dataset)),
        code=lambda w: code(
            "audit",
            *{models.modules()[v.model.family] for v in VARIANTS[w.dataset].values()},
        ),
    script:
        "../scripts/audit.py"


rule compare:
    input:
        scores=every("scores/{stem}.zarr.zip"),
        cards=every("fits/{stem}.json"),
        trials=expand(rules.preprocess.output, dataset=VARIANTS),
        splits=expand(rules.split.output, dataset=VARIANTS),
    output:
        comparison=OUT + "/comparison.csv",
        variants=OUT + "/variants.csv",
        budget=OUT + "/budget.csv",
        sessions=OUT + "/sessions.csv",
        timing=OUT + "/timing.csv",
    log:
        OUT + "/logs/compare.log",
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        study={
            "out": OUT,
            "seed": STUDY.seed,
            "burn_in": STUDY.burn_in,
            "variants": {
                d: {name: (v.model_name, v.swept) for name, v in variants.items()}
                for d, variants in VARIANTS.items()
            },
        },
        code=code("compare"),
    script:
        "../scripts/compare.py"


def drawn(name):
    """Outputs of a figure."""
    return {
        suffix: f"{OUT}/figures/{name}.{suffix}" for suffix in ("svg", "pdf", "csv")
    }


def tables(w):
    """Figures stand on the comparison, and on audits that passed."""
    return [rules.compare.output.comparison, rules.compare.output.variants] + expand(
        rules.audit.output, dataset=VARIANTS
    )


def dissected(dataset, suffix="zarr.zip"):
    return [
        f"{OUT}/dynamics/{dataset}/{variant}/fold0.{suffix}"
        for variant in flowing(dataset)
    ]


def signed(dataset):
    """Whether a recording has networks under Dale's law whose dynamics are dissected."""
    specs = [VARIANTS[dataset][name].model for name in flowing(dataset)]
    return any(m.family == "dale" or getattr(m, "dale", False) for m in specs)


def plastic(dataset):
    return any(
        VARIANTS[dataset][name].model.family == "stp" for name in flowing(dataset)
    )


def saturating(dataset):
    """Whether a recording has networks of tanh units, for which there is a mean-field theory."""
    return any(VARIANTS[dataset][name].model.saturates for name in flowing(dataset))


OVERALL = [
    (
        "ladder",
        "The ladder of baselines",
        "Gain over the null against what a predictor knows; bars: 95 % intervals, rings: the mean prediction of the members. L0 null, L0' no past, L1 and L2 Markov chains of order 1 and more, L3 hidden Markov models, L4 networks that see the chain's states, L5 coupled regressions, L6 networks of limited memory, L7 networks.",
    ),
    (
        "scores",
        "Held-out score by model",
        "Gain over the null on test trials; bars: 95 % intervals over trials and members.",
    ),
    (
        "order",
        "Order of the chain",
        "Markov chains of every order fitted, beside the recurrent models (lines: mean over members).",
    ),
]
if CARRIED:
    OVERALL.append(
        (
            "forgetting",
            "Sessions learned one after another",
            "Left: score on the test trials of each session (columns) after each stage of learning (rows, from above), over that session's null; ± half the 95 % interval over trials and members. Below the diagonal stand sessions that were learned before, above it those not yet seen. Right: how the score of a session changed since it was learned. ACC: mean of the last row; BWT: mean change of the earlier sessions, below 0 where they are forgotten.",
        )
    )


def both(dataset):
    """Whether a recording of counts has networks and chains."""
    roles = {v.model.role for v in VARIANTS[dataset].values()}
    return (
        STUDY.datasets[dataset].track == "counts" and {"recurrent", "markov"} <= roles
    )


PER_DATASET = {
    "trial": lambda dataset: True,
    "curves": recurrent,
    "units": both,
    "horizon": lambda dataset: able("forecasts", dataset),
    "memory": lambda dataset: able("memory", dataset),
    "generation": lambda dataset: able("generation", dataset),
    "states": flowing,
    "members": flowing,
    "points": flowing,
    "jacobian_spectra": flowing,
    "weight_spectra": flowing,
    "mean_field": saturating,
    "lyapunov": flowing,
    "twins": flowing,
    "gradients": flowing,
    "balance": signed,
    "release": plastic,
    "seeds": flowing,
}
DISSECTIONS = [
    "states",
    "members",
    "points",
    "jacobian_spectra",
    "weight_spectra",
    "mean_field",
    "lyapunov",
    "twins",
    "gradients",
    "balance",
    "release",
    "seeds",
]
FIGURES = {
    dataset: [name for name, drawable in PER_DATASET.items() if drawable(dataset)]
    for dataset in VARIANTS
}
SMOOTHED = {
    dataset: f"{OUT}/cosmoothing/{dataset}.csv"
    for dataset, source in STUDY.datasets.items()
    if STUDY.cosmoothing and source.track == "counts"
}


rule figure_study:
    input:
        tables,
        lambda w: (
            expand(rules.forgetting.output, variant=CARRIED)
            if w.figure == "forgetting"
            else []
        ),
    output:
        **drawn("{figure}"),
    log:
        OUT + "/logs/figures/{figure}.log",
    wildcard_constraints:
        figure="|".join(name for name, _, _ in OVERALL),
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        out=OUT,
        figure=lambda w: w.figure,
        code=lambda w: code("figure", f"cortseq.figures.{w.figure}"),
    script:
        "../scripts/figure.py"


rule figure_recording:
    # one recording: a trial with its predictions, training curves
    input:
        tables,
        lambda w: [
            f"{OUT}/predictions/{stem}.zarr.zip" for stem in stems(w.dataset, [0])
        ],
    output:
        **drawn("{figure}_{dataset}"),
    log:
        OUT + "/logs/figures/{figure}_{dataset}.log",
    wildcard_constraints:
        figure="trial|curves|units",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        out=OUT,
        figure=lambda w: w.figure,
        code=lambda w: code("figure", f"cortseq.figures.{w.figure}"),
    script:
        "../scripts/figure.py"


rule figure_dynamics:
    # the dynamics of the chosen recurrent variants
    input:
        tables,
        lambda w: dissected(w.dataset),
    output:
        **drawn("{figure}_{dataset}"),
    log:
        OUT + "/logs/figures/{figure}_{dataset}.log",
    wildcard_constraints:
        figure="|".join(DISSECTIONS),
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        out=OUT,
        figure=lambda w: w.figure,
        code=lambda w: code("figure", f"cortseq.figures.{w.figure}"),
    script:
        "../scripts/figure.py"


rule figure_task:
    # forecasts, limited memory, free runs
    input:
        tables,
        lambda w: {
            "horizon": done("forecasts", w.dataset, "zarr.zip"),
            "memory": done("memory", w.dataset, "zarr.zip"),
            "generation": done("generation", w.dataset, "csv"),
        }[w.figure],
    output:
        **drawn("{figure}_{dataset}"),
    log:
        OUT + "/logs/figures/{figure}_{dataset}.log",
    wildcard_constraints:
        figure="horizon|memory|generation",
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        out=OUT,
        figure=lambda w: w.figure,
        code=lambda w: code("figure", f"cortseq.figures.{w.figure}"),
    script:
        "../scripts/figure.py"


rule report:
    input:
        tables,
        cosmoothing=list(SMOOTHED.values()),
        dynamics=[file for dataset in VARIANTS for file in dissected(dataset, "csv")],
        timing=rules.compare.output.timing,
        template=Path(workflow.current_basedir).parent / "report" / "report.html.jinja",
        overall=[f"{OUT}/figures/{name}.svg" for name, _, _ in OVERALL],
        figures=[
            f"{OUT}/figures/{name}_{dataset}.svg"
            for dataset in FIGURES
            for name in FIGURES[dataset]
        ],
    output:
        OUT + "/report.html",
    log:
        OUT + "/logs/report.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        out=OUT,
        overall=OVERALL,
        figures=FIGURES,
        cosmoothing=SMOOTHED,
        study={
            key: getattr(STUDY, key)
            for key in ("study", "seed", "folds", "members", "burn_in")
        },
        template=lambda w, input: str(input.template),
        code=code("report"),
    script:
        "../scripts/report.py"
