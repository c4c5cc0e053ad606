# What rules ask of the study: entries, files that a user placed, figures with their words, what may fail.
from cortseq import plans
from cortseq.sources import base
from cortseq.sources.trials import companion
from cortseq.stages.dynamics import refits
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


def given(stage):
    """What a stage computes from, of the entry of a dataset."""
    return lambda wildcards: base.given(STUDY.datasets[wildcards.dataset], stage)


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


def copied(wildcards):
    """The raw file where it is a copy or download of ours."""
    file = RAW[wildcards.dataset]
    return [file] if file and raw_files.is_cached(file) else []


def placed(wildcards):
    """What a raw file that a user placed holds; "" of a copy, which is an input."""
    source, file = STUDY.datasets[wildcards.dataset], RAW[wildcards.dataset]
    is_placed = file and not raw_files.is_cached(file)
    return raw_files.stamp(source, file) if is_placed else ""


def template(*names):
    """What the files of a page hold: where they lie says nothing, nor do their dates."""
    folder = Path(workflow.current_basedir).parent / "report"
    return {name: sha256(folder / name) for name in names}


def shown(file):
    """Mark a figure for the report of Snakemake, `snakemake --report report.zip`."""
    return report(file, category="Figures") if str(file).endswith(".svg") else file


def printed():
    """Figures in the order of the report, with their words and their file."""
    entries = [
        {
            "name": name,
            "dataset": "",
            "title": name.replace("_", " "),
            "caption": sheet.caption(PLAN.figures, plans.panels(STUDY, sheet)),
            "printed": True,
        }
        for name, sheet in STUDY.figures.items()
    ]
    for facts in (PLAN.whole, *PLAN.facts.values()):
        for figure in PLAN.drawn(facts):
            name = f"{figure}_{facts.dataset}" if facts.dataset else figure
            words = {
                "title": PLAN.figures[figure].title,
                "caption": PLAN.figures[figure].text(facts),
                "printed": PLAN.figures[figure].printed,
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


def audited(dataset):
    """The audit of a recording as a job of one step."""
    return steps.Batch("audit", [stages.audit(PLAN, dataset)])
