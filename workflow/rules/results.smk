# Audits, the comparison, figures and the report.


# What is known of each recording before anything is computed; figures ask it whether they apply.
FACTS = plans.facts(STUDY)
WHOLE = plans.whole(STUDY)


def every(product):
    """A product of all variants and folds of all recordings."""
    return [
        file for facts in FACTS.values() for file in products.files(OUT, product, facts)
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
        fits=lambda w: products.files(OUT, "fits", FACTS[w.dataset]),
        scores=lambda w: products.files(OUT, "scores", FACTS[w.dataset]),
        starts=lambda w: list(started(w.dataset).values()),
    output:
        path("audits"),
    log:
        OUT + "/logs/audit/{dataset}.log",
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        table=lambda w: list(zip(*products.labels("fits", FACTS[w.dataset]))),
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
        scores=every("scores"),
        cards=[file.replace(".safetensors", ".json") for file in every("fits")],
        trials=expand(rules.preprocess.output, dataset=VARIANTS),
        splits=expand(rules.split.output, dataset=VARIANTS),
    output:
        comparison=path("comparison"),
        variants=path("variants"),
        budget=path("budget"),
        sessions=path("sessions"),
        timing=path("timing"),
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
                d: {
                    name: (v.model_name, v.swept, v.model.family, v.model.role)
                    for name, v in variants.items()
                }
                for d, variants in VARIANTS.items()
            },
        },
        code=code("compare"),
    script:
        "../scripts/compare.py"


def evidence(need):
    """Files of all recordings that a claim may rest on."""
    return [
        file for facts in FACTS.values() for file in products.files(OUT, need, facts)
    ]


rule claims:
    # one line for each question a reviewer asks
    input:
        **{need: evidence(need) for need in products.EVIDENCE},
        comparison=rules.compare.output.comparison,
        variants=rules.compare.output.variants,
        splits=expand(rules.split.output, dataset=VARIANTS),
    output:
        path("claims"),
    log:
        OUT + "/logs/claims.log",
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        tracks={d: facts.track for d, facts in FACTS.items()},
        labels={
            need: [
                (d, *key) for d, f in FACTS.items() for key in products.labels(need, f)
            ]
            for need in products.EVIDENCE
        },
        code=code("claims"),
    script:
        "../scripts/claims.py"


FIGURES = figures.registry()
# Of the whole study, and of each recording, in the order of the report.
DRAWN = {
    facts.dataset: [
        name
        for name, figure in FIGURES.items()
        if (figure.scope == "study") == (facts is WHOLE) and figure.applies(facts)
    ]
    for facts in (WHOLE, *FACTS.values())
}
SMOOTHED = {
    dataset: path("cosmoothing", dataset=dataset)
    for dataset, source in STUDY.datasets.items()
    if STUDY.cosmoothing and source.track == "counts"
}


def drawn(name):
    """Outputs of a figure."""
    return {
        suffix: f"{OUT}/figures/{name}.{suffix}" for suffix in ("svg", "pdf", "csv")
    }


def scope(kind):
    """Names of the figures of the whole study, or of those of a recording, as a wildcard constraint."""
    return "|".join(name for name, figure in FIGURES.items() if figure.scope == kind)


def figure_facts(w):
    return FACTS[w.dataset] if "dataset" in w.keys() else WHOLE


def figure_inputs(w):
    """What a figure needs; it stands on the comparison, and on audits that passed."""
    facts = figure_facts(w)
    needs = {need: products.files(OUT, need, facts) for need in FIGURES[w.figure].needs}
    return needs | {
        "comparison": [path("comparison")],
        "audits": [path("audits", dataset=dataset) for dataset in VARIANTS],
    }


def figure_labels(w):
    """Keys of the files that a figure is handed, product by product."""
    facts = figure_facts(w)
    return {need: products.labels(need, facts) for need in FIGURES[w.figure].needs}


rule figure_study:
    input:
        unpack(figure_inputs),
    output:
        **drawn("{figure}"),
    log:
        OUT + "/logs/figures/{figure}.log",
    wildcard_constraints:
        figure=scope("study"),
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        labels=figure_labels,
        code=lambda w: code("figure", f"cortseq.figures.{w.figure}"),
    script:
        "../scripts/figure.py"


rule figure_recording:
    input:
        unpack(figure_inputs),
    output:
        **drawn("{figure}_{dataset}"),
    log:
        OUT + "/logs/figures/{figure}_{dataset}.log",
    wildcard_constraints:
        figure=scope("recording"),
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        labels=figure_labels,
        code=lambda w: code("figure", f"cortseq.figures.{w.figure}"),
    script:
        "../scripts/figure.py"


def printed():
    """Figures in the order of the report, with their words and their file."""
    entries = []
    for facts in (WHOLE, *FACTS.values()):
        for figure in DRAWN[facts.dataset]:
            name = f"{figure}_{facts.dataset}" if facts.dataset else figure
            words = {
                "title": FIGURES[figure].title,
                "caption": FIGURES[figure].text(facts),
            }
            entries.append({"name": name, "dataset": facts.dataset, **words})
    return entries


def fallible():
    """Whatever the study goes on without where it cannot be made: (dataset, product, name, fold) and file."""
    found = []
    for dataset, facts in FACTS.items():
        controls = ["controls"] if STUDY.controls else []
        for product in ("fits", "scores", *controls, "dynamics", *products.TASKS):
            pairs = zip(
                products.labels(product, facts), products.files(OUT, product, facts)
            )
            found += [[[dataset, product, *key], file] for key, file in pairs]
        measured = products.files(OUT, "quality", facts)
        found += [
            [[dataset, "quality", "all models", fold], file]
            for fold, file in enumerate(measured)
        ]
        found += [
            [[dataset, "refits", f"{variant} {draw}", 0], file]
            for variant in facts.flowing
            for draw, file in enumerate(refits(dataset, variant))
        ]
    found += [[[d, "cosmoothing", d, 0], file] for d, file in SMOOTHED.items()]
    found += [
        [["all", "forgetting", v, 0], path("forgetting", variant=v)] for v in CARRIED
    ]
    for entry in printed():
        key = [entry["dataset"], "figures", entry["name"], 0]
        found.append([key, f"{OUT}/figures/{entry['name']}.svg"])
    return found


FALLIBLE = fallible()


rule report:
    input:
        fallible=[file for _, file in FALLIBLE],
        comparison=rules.compare.output.comparison,
        variants=rules.compare.output.variants,
        timing=rules.compare.output.timing,
        claims=rules.claims.output,
        trials=expand(rules.preprocess.output, dataset=VARIANTS),
        splits=expand(rules.split.output, dataset=VARIANTS),
        audits=expand(rules.audit.output, dataset=VARIANTS),
        cards=[
            path("cards", dataset=dataset, variant="null", fold=0)
            for dataset in VARIANTS
        ],
        cosmoothing=list(SMOOTHED.values()),
        dynamics=every("dynamics_tables"),
        ceilings=every("ceilings"),
        quality=every("quality"),
        figures=[f"{OUT}/figures/{entry['name']}.svg" for entry in printed()],
        template=Path(workflow.current_basedir).parent / "report" / "report.html.jinja",
    output:
        page=OUT + "/report.html",
        failures=path("failures"),
    log:
        OUT + "/logs/report.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        datasets=list(VARIANTS),
        fallible=[key for key, _ in FALLIBLE],
        figures=printed(),
        smoothed=list(SMOOTHED),
        ceiled={d: len(products.files(OUT, "ceilings", f)) for d, f in FACTS.items()},
        measured={d: len(products.files(OUT, "quality", f)) for d, f in FACTS.items()},
        dissected={d: products.labels("dynamics_tables", f) for d, f in FACTS.items()},
        study={
            key: getattr(STUDY, key)
            for key in (
                "study",
                "seed",
                "folds",
                "members",
                "burn_in",
                "controls",
                "calibrate",
            )
        },
        code=code("report"),
    script:
        "../scripts/report.py"


rule conclude:
    # the last: its inputs are all that may fail, so that the next run tries again what it removed
    input:
        fallible=[file for _, file in FALLIBLE],
        failures=rules.report.output.failures,
    output:
        OUT + "/complete",
    log:
        OUT + "/logs/conclude.log",
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("conclude"),
    script:
        "../scripts/conclude.py"
