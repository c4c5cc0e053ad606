"""Goodness of fit of every model on one fold, of its variant that is best on validation."""

import pandas as pd

from cortseq import models, splits, store
from cortseq.jobs import job
from cortseq.scoring import fit_quality, tasks

with job(snakemake, may_fail=True) as say:
    files, study, found = snakemake.input, snakemake.params.study, []
    fold = int(snakemake.wildcards.fold)
    recording, roles = splits.fold_of(store.read(files.trials[0]), store.read_json(files.split[0]), fold)
    for model, variants in snakemake.params.variants.items():
        made = [v for v in variants if store.failure(files.scores[study["order"].index(v)]) is None]
        if not made:
            continue
        scores = {v: store.read(files.scores[study["order"].index(v)]) for v in made}
        variant = tasks.best(scores, study["burn_in"])
        fit = models.load(files.fits[study["order"].index(variant)])
        table = fit_quality.table(fit, recording, roles["test"], study["burn_in"], study["seed"])
        found.append(table.assign(model=model, variant=variant, role=fit.model.role))
        say(f"goodness of fit of {variant}")
    store.write_table(pd.concat(found), snakemake.output[0])
