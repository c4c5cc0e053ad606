"""The comparison table of the study, the table of all variants, and what it cost."""

import pandas as pd

from cortseq import store
from cortseq.jobs import job
from cortseq.scoring import compare

with job(snakemake) as say:
    study, rows, variants, timing = snakemake.params.study, [], [], []
    for dataset, every in study["variants"].items():
        recording = store.read(f"{study['out']}/trials/{dataset}.zarr.zip")
        folds = store.read_json(f"{study['out']}/splits/{dataset}.json")["folds"]
        scored = []
        for variant, (model, swept) in every.items():
            stems = [f"{dataset}/{variant}/fold{fold}" for fold in range(len(folds))]
            cards = [store.read_json(f"{study['out']}/fits/{stem}.json") for stem in stems]
            scores = [store.read(f"{study['out']}/scores/{stem}.zarr.zip") for stem in stems]
            scored.append(compare.gather(variant, model, swept, cards, scores, study["burn_in"]))
            timing += [compare.timing_row(dataset, card, fold) for fold, card in enumerate(cards)]
        found = compare.table(dataset, recording, folds, scored, study["burn_in"], study["seed"])
        rows, variants = rows + found[0], variants + found[1]
    comparison = compare.finish(rows)
    store.write_table(comparison, snakemake.output.comparison)
    store.write_table(pd.DataFrame(variants), snakemake.output.variants)
    store.write_table(pd.DataFrame(timing), snakemake.output.timing)
    for line in compare.summary(comparison):
        say(line)
