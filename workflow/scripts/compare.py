"""The comparison table of the study, the table of all variants, and what it cost."""

import pandas as pd

from cortseq import store
from cortseq.jobs import job
from cortseq.scoring import audits, compare, words

with job(snakemake) as say:
    study, variants, timing = snakemake.params.study, snakemake.params.study["variants"], []
    tables, choices = [], []
    for dataset, every in variants.items():
        recording = store.read(f"{study['out']}/trials/{dataset}.zarr.zip")
        folds = store.read_json(f"{study['out']}/splits/{dataset}.json")["folds"]
        scored, products = [], {}
        for variant, (model, swept) in every.items():
            stems = [f"{dataset}/{variant}/fold{fold}" for fold in range(len(folds))]
            cards = [store.read_json(f"{study['out']}/fits/{stem}.json") for stem in stems]
            scores = [store.read(f"{study['out']}/scores/{stem}.zarr.zip") for stem in stems]
            curves = [store.read_table(f"{study['out']}/fits/{stem}.parquet") for stem in stems]
            products[variant] = model, scores
            scored.append(compare.gather(variant, model, swept, cards, scores, study["burn_in"], curves))
            timing += [compare.timing_row(dataset, card, fold) for fold, card in enumerate(cards)]
        tables.append(compare.table(dataset, recording, folds, scored, study["burn_in"], study["seed"]))
        choices.append(audits.choice(tables[-1].rows, products, study["burn_in"]))
    audits.report(choices)
    comparison = compare.finish([row for t in tables for row in t.rows])
    pooled = compare.sessions([s for t in tables for s in t.sessions])
    store.write_table(comparison, snakemake.output.comparison)
    store.write_table(pd.DataFrame([row for t in tables for row in t.variants]), snakemake.output.variants)
    store.write_table(pd.DataFrame([row for t in tables for row in t.budget]), snakemake.output.budget)
    store.write_table(pooled, snakemake.output.sessions)
    store.write_table(pd.DataFrame(timing), snakemake.output.timing)
    for line in words.summary(comparison):
        say(line)
