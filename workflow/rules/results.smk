# The comparison, what may be claimed, and the report.
from cortseq import plans
from cortseq.stages.dynamics import refits


rule compare:
    input:
        scores=PLAN.every("scores"),
        cards=[file.replace(".safetensors", ".json") for file in PLAN.every("fits")],
        trials=expand(rules.preprocess.output, dataset=PLAN.variants),
        splits=expand(rules.split.output, dataset=PLAN.variants),
    output:
        comparison=path("comparison"),
        variants=path("variants"),
        budget=path("budget"),
        sessions=path("sessions"),
        corners=path("corners"),
        together=path("together"),
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
        comparison=rules.compare.output.comparison,
        variants=rules.compare.output.variants,
        corners=rules.compare.output.corners,
        splits=expand(rules.split.output, dataset=PLAN.variants),
    output:
        path("claims"),
    log:
        OUT + "/logs/claims.log",
    resources:
        mem_mb=4000,
        runtime=20,
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


def page(*names):
    """Files of a page: the template, then what it includes."""
    return [Path(workflow.current_basedir).parent / "report" / name for name in names]


def printed():
    """Figures in the order of the report, with their words and their file."""
    entries = [
        {
            "name": name,
            "dataset": "",
            "title": name.replace("_", " "),
            "caption": sheet.caption(PLAN.figures, plans.panels(STUDY, sheet)),
        }
        for name, sheet in STUDY.figures.items()
    ]
    for facts in (PLAN.whole, *PLAN.facts.values()):
        for figure in PLAN.drawn(facts):
            name = f"{figure}_{facts.dataset}" if facts.dataset else figure
            words = {
                "title": PLAN.figures[figure].title,
                "caption": PLAN.figures[figure].text(facts),
            }
            entries.append({"name": name, "dataset": facts.dataset, **words})
    return entries


def fallible():
    """Whatever the study goes on without where it cannot be made: (dataset, product, name, fold) and file."""
    found = []
    for dataset, facts in PLAN.facts.items():
        controls = ["controls"] if STUDY.controls else []
        for product in ("fits", "scores", *controls, "dynamics", *products.TASKS):
            pairs = zip(products.labels(product, facts), PLAN.files(product, facts))
            found += [[[dataset, product, *key], file] for key, file in pairs]
        measured = PLAN.files("quality", facts)
        found += [
            [[dataset, "quality", "all models", fold], file]
            for fold, file in enumerate(measured)
        ]
        found += [
            [[dataset, "refits", f"{variant} {draw}", 0], file]
            for variant in facts.flowing
            for draw, file in enumerate(refits(PLAN, dataset, variant))
        ]
    found += [
        [[d, "cosmoothing", d, 0], path("cosmoothing", dataset=d)]
        for d in PLAN.smoothed
    ]
    found += [
        [["all", "forgetting", v, 0], path("forgetting", variant=v)]
        for v in PLAN.whole.carried
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
        corners=rules.compare.output.corners,
        together=rules.compare.output.together,
        sessions=rules.compare.output.sessions,
        claims=rules.claims.output,
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
        template=page("report.html.jinja", "report.css", "report.js"),
    output:
        page=OUT + "/report.html",
        failures=path("failures"),
    log:
        OUT + "/logs/report.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
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
        },
        about={
            name: {
                word: getattr(source, word)
                for word in ("what", "cite", "licence")
                if getattr(source, word)
            }
            for name, source in STUDY.datasets.items()
        },
        made={"yaml": yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)},
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


rule theory_report:
    input:
        products=[path("theory", phenomenon=name) for name in STUDY.theory],
        figures=[f"{OUT}/figures/theory_{name}.svg" for name in STUDY.theory],
        template=page("theory.html.jinja", "report.css"),
    output:
        page=OUT + "/theory.html",
        checks=OUT + "/theory.csv",
    log:
        OUT + "/logs/theory_report.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        names=list(STUDY.theory),
        study=STUDY.study,
        code=code("theory_report"),
    script:
        "../scripts/theory_report.py"
