# Phenomena: what theory predicts beside what is measured; no model of a recording is needed.


def settings(wildcards):
    return STUDY.theory[wildcards.phenomenon]


rule theory:
    input:
        lambda w: (
            expand(rules.preprocess.output, dataset=settings(w)["dataset"])
            if "dataset" in settings(w)
            else []
        ),
    output:
        path("theory"),
    log:
        OUT + "/logs/theory/{phenomenon}.log",
    wildcard_constraints:
        phenomenon="[a-z][a-z0-9_]*",
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        phenomenon=lambda w: w.phenomenon,
        settings=lambda w: canonical(settings(w)),
        seed=STUDY.seed,
        code=lambda w: code("theory", f"cortseq.textbook.phenomena.{w.phenomenon}"),
    script:
        "../scripts/theory.py"


rule figure_theory:
    input:
        rules.theory.output,
    output:
        **drawn("theory_{phenomenon}"),
    log:
        OUT + "/logs/figures/theory_{phenomenon}.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        phenomenon=lambda w: w.phenomenon,
        code=lambda w: code("figure_theory", f"cortseq.textbook.figures.{w.phenomenon}"),
    script:
        "../scripts/figure_theory.py"


rule theory_report:
    input:
        products=expand(rules.theory.output, phenomenon=STUDY.theory),
        figures=[f"{OUT}/figures/theory_{name}.svg" for name in STUDY.theory],
        template=Path(workflow.current_basedir).parent / "report" / "theory.html.jinja",
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
