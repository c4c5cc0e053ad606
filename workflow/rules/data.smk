# Raw file -> recording as recorded -> trials -> manifest of roles.


from cortseq.sources.trials import companion

FILE_KEYS = ("source", "path", "url", "sha256", "package")


def entry_of_file(wildcards):
    """The entry whose raw file this is; `fetch` needs no more of it than where the file comes from."""
    for name, source in STUDY.datasets.items():
        if RAW[name] == Path("data/raw") / wildcards.file:
            whole = source.model_dump(mode="json", exclude_none=True)
            return {key: whole[key] for key in FILE_KEYS if key in whole}
    raise WorkflowError(f"no dataset of this study uses data/raw/{wildcards.file}")


def entry(wildcards):
    return STUDY.datasets[wildcards.dataset].model_dump(mode="json", exclude_none=True)


def beside(dataset):
    """Files that the entry reads beside its recording, a table of trials say."""
    source = STUDY.datasets[dataset]
    raw = Path(RAW[dataset]) if RAW[dataset] else None
    try:
        return [str(companion(path, raw)) for path in source.companions]
    except CortseqError as error:
        raise WorkflowError(f"datasets.{dataset}: {error}")


def source_module(wildcards):
    return sources.modules()[STUDY.datasets[wildcards.dataset].source]


rule fetch:
    output:
        "data/raw/{file}",
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
        lambda w: [RAW[w.dataset]] if RAW[w.dataset] else [],
        lambda w: beside(w.dataset),
    output:
        path("recordings"),
    log:
        OUT + "/logs/load/{dataset}.log",
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        entry=entry,
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
