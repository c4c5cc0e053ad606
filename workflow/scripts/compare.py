"""The comparison table of the study, the table of all variants, what it cost, and what failed."""

import pandas as pd

from cortseq import leases, products, store
from cortseq.jobs import job
from cortseq.scoring import audits, compare, corners, failures, together, words

with job(snakemake) as say, leases.alone(snakemake, say):
    study, output, scores, models = snakemake.params.study, snakemake.output, {}, {}
    tables, choices, timing = [], [], []
    for dataset, variants in study["variants"].items():
        at = {"out": study["out"], "dataset": dataset}
        recording = store.read(products.path(product="trials", **at))
        folds = store.read_json(products.path(product="splits", **at))["folds"]
        scored, read = [], {}
        for variant, (model, swept, family, role) in variants.items():
            here = [at | {"variant": variant, "fold": fold} for fold in range(len(folds))]
            files = [products.path(product="scores", **one) for one in here]
            scores |= {(dataset, "scores", variant, fold): file for fold, file in enumerate(files)}
            models[dataset, variant] = dict(model=model, variant=variant, family=family, role=role)
            if any(map(store.failure, files)):
                continue
            cards = [store.read_json(products.path(product="cards", **one)) for one in here]
            curves = [store.read_table(products.path(product="curves", **one)) for one in here]
            read[variant] = model, [store.read(file) for file in files]
            given = cards, read[variant][1], study["burn_in"], curves
            scored.append(compare.gather(variant, model, swept, *given))
            timing += [compare.timing_row(dataset, card, fold) for fold, card in enumerate(cards)]
        if "null" not in read:  # nothing to measure a score from
            continue
        tables.append(compare.table(dataset, recording, folds, scored, study["burn_in"], study["seed"]))
        choices.append(audits.choice(tables[-1].rows, read, study["burn_in"]))
    if not tables:
        raise store.Failed(f"no recording has a score: {store.failure(next(iter(scores.values())))}")
    audits.report(choices)
    failed = failures.of_files(scores)
    finished = compare.finish([row for t in tables for row in t.rows])
    comparison = failures.append(finished, failed, models)
    store.write_table(comparison, output.comparison)
    store.write_table(pd.DataFrame([row for t in tables for row in t.variants]), output.variants)
    store.write_table(pd.DataFrame([row for t in tables for row in t.budget]), output.budget)
    store.write_table(compare.sessions([s for t in tables for s in t.sessions]), output.sessions)
    store.write_table(corners.table([row for t in tables for row in t.corners]), output.corners)
    store.write_table(together.table([row for t in tables for row in t.together]), output.together)
    store.write_table(pd.DataFrame(timing), output.timing)
    for line in [*words.summary(comparison), *failures.sentences(failed)]:
        say(line)
