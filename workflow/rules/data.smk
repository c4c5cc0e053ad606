# Raw file -> recording as recorded -> trials -> manifest of roles. A file that a user placed is no input and no
# output: Snakemake removes outputs, goes by dates, and expands braces in names. What it holds is a parameter.


rule fetch:
    output:
        str(raw_files.CACHE / "{file}"),
    log:
        "results/logs/fetch/{file}.log",
    wildcard_constraints:
        file=".+",
    resources:
        mem_mb=500,
        runtime=60,
    params:
        entry=entry_of_file,
    script:
        "../scripts/fetch.py"


rule load:
    input:
        copied,
    output:
        path("recordings"),
    log:
        f"{OUT}/logs/load/{{dataset}}.log",
    resources:
        mem_mb=lambda w, attempt: asking.reading_mb(attempt),
        runtime=lambda w, attempt: 30 * 2 ** (attempt - 1),
    params:
        entry=given("load"),
        placed=placed,
        beside=beside,
        seed=STUDY.seed,
        code=lambda w: code("load", source_module(w)),
    script:
        "../scripts/load.py"


rule preprocess:
    input:
        rules.load.output,
    output:
        path("trials"),
    log:
        f"{OUT}/logs/preprocess/{{dataset}}.log",
    resources:
        mem_mb=lambda w, attempt: asking.reading_mb(attempt),
        runtime=lambda w, attempt: 30 * 2 ** (attempt - 1),
    params:
        entry=given("preprocess"),
        code=code("preprocess"),
    script:
        "../scripts/preprocess.py"


rule split:
    input:
        rules.preprocess.output,
    output:
        path("splits"),
    log:
        f"{OUT}/logs/split/{{dataset}}.log",
    resources:
        mem_mb=lambda w, attempt: asking.reading_mb(attempt),
        runtime=10,
    params:
        entry=given("split"),
        deal=lambda w: dataclasses.asdict(splits.Deal.of(STUDY)),
        code=code("split"),
    script:
        "../scripts/split.py"
