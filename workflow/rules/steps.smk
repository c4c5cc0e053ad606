# Fits, scores, tasks, dynamics, figures and phenomena: jobs of several steps each. A step that is made is left
# as it is. Its outputs are therefore marked `update`: Snakemake removes others before a job begins.
for batch in BATCHES:

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
            mem_mb=lambda w, attempt, batch=batch: asking.memory_mb(
                PLAN, batch, attempt
            ),
            runtime=lambda w, attempt, batch=batch: asking.minutes(batch, attempt),
        params:
            steps=batch.given,
        script:
            "../scripts/batch.py"


rule audit:
    # not updated: of an audit that fails nothing may be left
    input:
        lambda w: audited(w.dataset).inputs,
    output:
        path("audits"),
    log:
        f"{OUT}/logs/batches/audit_{{dataset}}.log",
    resources:
        mem_mb=lambda w, attempt: asking.memory_mb(PLAN, audited(w.dataset), attempt),
        runtime=lambda w, attempt: asking.minutes(audited(w.dataset), attempt),
    params:
        steps=lambda w: audited(w.dataset).given,
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
        mem_mb=lambda w, attempt: asking.reading_mb(attempt),
        runtime=lambda w, attempt: 10 * 2 ** (attempt - 1),
    params:
        code=code("export"),
    script:
        "../scripts/export.py"
