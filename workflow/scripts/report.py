"""One self-contained page of the study."""

from itertools import islice
from pathlib import Path

from cortseq import leases, report, store
from cortseq.figures import base
from cortseq.jobs import job
from cortseq.scoring import corners, failures, together

with job(snakemake) as say, leases.alone(snakemake, say):
    params, files = snakemake.params, snakemake.input
    failed = failures.of_files(dict(zip(map(tuple, params.fallible), files.fallible)))
    variants, tables = store.read_table(files.variants), iter(files.dynamics)
    comparison, ceiled, measured = (
        store.read_table(files.comparison),
        iter(files.ceilings),
        iter(files.quality),
    )
    four, pooled = store.read_table(files.corners), store.read_table(files.together)
    recordings, audits, dynamics, remarks, explained = {}, {}, {}, {}, {}
    for dataset, *paths in zip(params.datasets, files.trials, files.splits, files.audits):
        trials, manifest, audit = paths
        split = store.read_json(manifest)
        recordings[dataset] = params.about[dataset] | report.facts(store.read(trials), split)
        audits[dataset] = store.read_json(audit)
        each = {variant: next(tables) for variant, _ in params.dissected[dataset]}
        known = {name: store.read_table(file) for name, file in each.items() if not store.failure(file)}
        best = base.chosen(variants, dataset, "recurrent")
        dynamics[dataset] = {variant: known[variant] for variant in best if variant in known}
        scales, fits = (
            [store.read_table(file) for file in islice(made, number[dataset]) if not store.failure(file)]
            for made, number in ((ceiled, params.ceiled), (measured, params.measured))
        )
        rows = base.without_averages(comparison[comparison["dataset"] == dataset])
        observation, network = recordings[dataset]["observation"], next(iter(best), "")
        told = rows, observation, scales, fits, network, bool(split["continuous"])
        remarks[dataset] = [*together.sentences(pooled, dataset), *report.remarks(*told)]
        explained[dataset] = corners.sentence(four[four["dataset"] == dataset])
    card = next(store.read_json(file) for file in files.cards if not store.failure(file))
    drawn = [(f, svg) for f, svg in zip(params.figures, files.figures) if not store.failure(svg)]
    smoothed = [(d, f) for d, f in zip(params.smoothed, files.cosmoothing) if not store.failure(f)]
    page = report.render(
        Path(snakemake.scriptdir).parent / "report/report.html.jinja",
        params.study,
        comparison,
        store.read_table(files.timing),
        audits,
        recordings,
        [figure | {"svg": Path(svg).read_text(encoding="utf-8")} for figure, svg in drawn],
        card["versions"],
        {dataset: store.read_table(file) for dataset, file in smoothed},
        dynamics,
        failures.sentences(failed),
        remarks,
        store.read_table(files.claims),
        store.read_table(files.sessions),
        explained,
        params.made | {"commit": card.get("commit") or "", "machine": report.machine()},
        variants,
    )
    store.write_text(page, snakemake.output.page)
    store.write_table(failed, snakemake.output.failures)
