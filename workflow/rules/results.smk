# The comparison, what may be claimed, and the report. Their inputs are named by `path`: where one is an output of
# another rule (`rules.compare.output`), Snakemake takes time that grows with the square of the inputs.


rule compare:
    input:
        scores=PLAN.every("scores"),
        cards=[file.replace(".safetensors", ".json") for file in PLAN.every("fits")],
        trials=expand(rules.preprocess.output, dataset=PLAN.variants),
        splits=expand(rules.split.output, dataset=PLAN.variants),
    output:
        comparison=report(path("comparison"), category="Tables"),
        variants=path("variants"),
        budget=path("budget"),
        sessions=path("sessions"),
        corners=path("corners"),
        together=path("together"),
        timing=path("timing"),
    log:
        f"{OUT}/logs/compare.log",
    resources:
        mem_mb=lambda w, attempt: asking.reading_mb(attempt),
        runtime=lambda w, attempt: 30 * 2 ** (attempt - 1),
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
                for d, variants in PLAN.variants.items()
            },
        },
        code=code("compare"),
    script:
        "../scripts/compare.py"


rule claims:
    # one line for each question a reviewer asks
    input:
        **{need: PLAN.every(need) for need in products.EVIDENCE},
        comparison=path("comparison"),
        variants=path("variants"),
        corners=path("corners"),
        splits=expand(rules.split.output, dataset=PLAN.variants),
    output:
        report(path("claims"), category="Tables"),
    log:
        f"{OUT}/logs/claims.log",
    resources:
        mem_mb=lambda w, attempt: asking.reading_mb(attempt),
        runtime=lambda w, attempt: 20 * 2 ** (attempt - 1),
    params:
        tracks={d: facts.track for d, facts in PLAN.facts.items()},
        labels={
            need: [
                (d, *key)
                for d, f in PLAN.facts.items()
                for key in products.labels(need, f)
            ]
            for need in products.EVIDENCE
        },
        code=code("claims"),
    script:
        "../scripts/claims.py"


FALLIBLE = fallible()


rule report:
    input:
        fallible=[file for _, file in FALLIBLE],
        comparison=path("comparison"),
        variants=path("variants"),
        timing=path("timing"),
        corners=path("corners"),
        together=path("together"),
        sessions=path("sessions"),
        claims=path("claims"),
        trials=expand(rules.preprocess.output, dataset=PLAN.variants),
        splits=expand(rules.split.output, dataset=PLAN.variants),
        audits=expand(rules.audit.output, dataset=PLAN.variants),
        cards=[
            path("cards", dataset=dataset, variant="null", fold=0)
            for dataset in PLAN.variants
        ],
        cosmoothing=[path("cosmoothing", dataset=d) for d in PLAN.smoothed],
        dynamics=PLAN.every("dynamics_tables"),
        ceilings=PLAN.every("ceilings"),
        quality=PLAN.every("quality"),
        figures=[f"{OUT}/figures/{entry['name']}.svg" for entry in printed()],
    output:
        page=report(f"{OUT}/report.html", category="Page"),
        failures=path("failures"),
    log:
        f"{OUT}/logs/report.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        template=template("report.html.jinja", "report.css", "report.js"),
        datasets=list(PLAN.variants),
        fallible=[key for key, _ in FALLIBLE],
        figures=printed(),
        smoothed=PLAN.smoothed,
        ceiled={d: len(PLAN.files("ceilings", f)) for d, f in PLAN.facts.items()},
        measured={d: len(PLAN.files("quality", f)) for d, f in PLAN.facts.items()},
        dissected={
            d: products.labels("dynamics_tables", f) for d, f in PLAN.facts.items()
        },
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
        }
        | {
            "epochs": {
                name: variant.model.epochs
                for entries in PLAN.variants.values()
                for name, variant in entries.items()
                if hasattr(variant.model, "epochs")
            }
        },
        about={
            name: {
                word: getattr(source, word)
                for word in ("what", "cite", "licence")
                if getattr(source, word)
            }
            for name, source in STUDY.datasets.items()
        },
        made={"yaml": yamlfile.text(dict(config))},
        code=code("report"),
    script:
        "../scripts/report.py"


rule conclude:
    # the last: its inputs are all that may fail, so that the next run tries again what it removed
    input:
        fallible=[file for _, file in FALLIBLE],
        failures=path("failures"),
    output:
        f"{OUT}/complete",
    log:
        f"{OUT}/logs/conclude.log",
    retries: 0  # it removes what says why something failed
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("conclude"),
    script:
        "../scripts/conclude.py"


rule theory_report:
    input:
        products=[path("theory", phenomenon=name) for name in STUDY.theory],
        figures=[f"{OUT}/figures/theory_{name}.svg" for name in STUDY.theory],
    output:
        page=report(f"{OUT}/theory.html", category="Page"),
        checks=f"{OUT}/theory.csv",
    log:
        f"{OUT}/logs/theory_report.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        template=template("theory.html.jinja", "report.css"),
        names=list(STUDY.theory),
        study=STUDY.study,
        code=code("theory_report"),
    script:
        "../scripts/theory_report.py"
