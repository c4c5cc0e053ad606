# Raw file -> recording as recorded -> trials -> manifest of roles. A file that a user placed is no input and no
# output: Snakemake removes outputs, goes by dates, and expands braces in names. What it holds is a parameter.


from cortseq.sources.trials import companion
from cortseq.store import sha256

FILE_KEYS = ("source", "path", "url", "sha256", "package")


def entry_of_file(wildcards):
    """The entry whose raw file this is; `fetch` needs no more of it than where the file comes from."""
    for name, source in STUDY.datasets.items():
        if RAW[name] == raw_files.CACHE / wildcards.file:
            whole = source.model_dump(mode="json", exclude_none=True)
            return {key: whole[key] for key in FILE_KEYS if key in whole}
    raise WorkflowError(
        f"no dataset of this study uses {raw_files.CACHE}/{wildcards.file}"
    )


def entry(wildcards):
    return STUDY.datasets[wildcards.dataset].model_dump(mode="json", exclude_none=True)


def beside(wildcards):
    """What files hold that the entry reads beside its recording, a table of trials say."""
    source, raw = STUDY.datasets[wildcards.dataset], RAW[wildcards.dataset]
    try:
        found = [companion(path, raw) for path in source.companions]
    except CortseqError as error:
        raise WorkflowError(f"datasets.{wildcards.dataset}: {error}")
    return [sha256(file) for file in found]


def source_module(wildcards):
    return sources.modules()[STUDY.datasets[wildcards.dataset].source]


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


def copied(wildcards):
    """The raw file where it is a copy or download of ours."""
    file = RAW[wildcards.dataset]
    return [file] if file and raw_files.is_cached(file) else []


def placed(wildcards):
    """What a raw file that a user placed holds; "" of a copy, which is an input."""
    source, file = STUDY.datasets[wildcards.dataset], RAW[wildcards.dataset]
    is_placed = file and not raw_files.is_cached(file)
    return raw_files.stamp(source, file) if is_placed else ""


rule load:
    input:
        copied,
    output:
        path("recordings"),
    log:
        OUT + "/logs/load/{dataset}.log",
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        entry=entry,
        mirrors=STUDY.mirrors,
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
        OUT + "/logs/preprocess/{dataset}.log",
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        entry=entry,
        code=code("preprocess"),
    script:
        "../scripts/preprocess.py"


rule split:
    input:
        rules.preprocess.output,
    output:
        path("splits"),
    log:
        OUT + "/logs/split/{dataset}.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        entry=entry,
        study=lambda w: {
            key: getattr(STUDY, key)
            for key in ("seed", "folds", "test_fraction", "valid_fraction")
        },
        code=code("split"),
    script:
        "../scripts/split.py"
