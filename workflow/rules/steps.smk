# Fits, scores, tasks, dynamics, figures and phenomena: jobs of several steps each. A step that is made is left
# as it is. Its outputs are therefore marked `update`: Snakemake removes others before a job begins.
for batch in stages.jobs(PLAN):

    rule:
        name:
            batch.name
        input:
            batch.inputs,
        output:
            [shown(update(file)) for file in batch.outputs],
        log:
            f"{OUT}/logs/batches/{batch.name}.log",
        priority: batch.priority
        threads: 1
        resources:
            gpu=batch.gpu,
            mem_mb=batch.memory_mb,
            runtime=batch.minutes,
        params:
            steps=batch.given,
        script:
            "../scripts/batch.py"


rule audit:
    # not updated: of an audit that fails nothing may be left
    input:
        lambda w: stages.audit(PLAN, w.dataset).inputs,
    output:
        path("audits"),
    log:
        f"{OUT}/logs/batches/audit_{{dataset}}.log",
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        steps=lambda w: [stages.audit(PLAN, w.dataset).plain],
    script:
        "../scripts/batch.py"


rule export:
    # On request: snakemake --cores 1 results/<study>/predictions/<dataset>/<variant>/fold0.csv
    input:
        path("predictions"),
    output:
        path("exports"),
    log:
        f"{OUT}/logs/export/{{dataset}}/{{variant}}/fold{{fold}}.log",
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        code=code("export"),
    script:
        "../scripts/export.py"
