"""One self-contained page of the study."""

from pathlib import Path

from cortseq import report, store
from cortseq.figures import base
from cortseq.jobs import job

with job(snakemake):
    params, files = snakemake.params, snakemake.input
    variants, tables = store.read_table(files.variants), map(store.read_table, files.dynamics)
    recordings, audits, dynamics = {}, {}, {}
    for dataset, *paths in zip(params.datasets, files.trials, files.splits, files.audits):
        trials, manifest, audit = paths
        recordings[dataset] = report.facts(store.read(trials), store.read_json(manifest))
        audits[dataset] = store.read_json(audit)
        known = {variant: next(tables) for variant, _ in params.dissected[dataset]}
        best = base.chosen(variants, dataset, "recurrent")
        dynamics[dataset] = {variant: known[variant] for variant in best if variant in known}
    drawn = zip(params.figures, files.figures)
    page = report.render(
        Path(files.template).read_text(),
        params.study,
        store.read_table(files.comparison),
        store.read_table(files.timing),
        audits,
        recordings,
        [figure | {"svg": Path(svg).read_text()} for figure, svg in drawn],
        store.read_json(files.cards[0])["versions"],
        dict(zip(params.smoothed, map(store.read_table, files.cosmoothing))),
        dynamics,
    )
    store.write_text(page, snakemake.output[0])
