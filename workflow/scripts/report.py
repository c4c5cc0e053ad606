"""One self-contained page of the study."""

from pathlib import Path

from cortseq import recording as rec
from cortseq import report, store
from cortseq.figures import gather
from cortseq.jobs import job

with job(snakemake):
    params, out = snakemake.params, snakemake.params.out
    audits, recordings, figures = {}, {}, []
    for name, title, caption in params.overall:
        svg = Path(f"{out}/figures/{name}.svg").read_text()
        figures.append({"name": name, "title": title, "caption": caption, "dataset": "", "svg": svg})
    for dataset, names in params.figures.items():
        recording = store.read(f"{out}/trials/{dataset}.zarr.zip")
        manifest = store.read_json(f"{out}/splits/{dataset}.json")
        recordings[dataset] = report.facts(recording, manifest)
        audits[dataset] = store.read_json(f"{out}/audits/{dataset}.json")
        texts = report.captions(dataset, rec.track(recording))
        for name in names:
            svg = Path(f"{out}/figures/{name}_{dataset}.svg").read_text()
            title, caption = texts[name]
            figures.append(
                {
                    "name": f"{name}_{dataset}",
                    "title": title,
                    "caption": caption,
                    "dataset": dataset,
                    "svg": svg,
                }
            )
    card = store.read_json(f"{out}/fits/{next(iter(params.figures))}/null/fold0.json")
    page = report.render(
        Path(params.template).read_text(),
        params.study,
        gather.comparison_table(out),
        store.read_table(f"{out}/timing.csv"),
        audits,
        recordings,
        figures,
        card["versions"],
        {dataset: store.read_table(path) for dataset, path in params.cosmoothing.items()},
        {dataset: gather.dynamics_tables(out, dataset) for dataset in recordings},
    )
    store.write_text(page, snakemake.output[0])
