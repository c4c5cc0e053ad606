"""Held-out units predicted from held-in units at all times, by smoothers only."""

import pandas as pd

from cortseq import splits, store
from cortseq.jobs import job
from cortseq.scoring import cosmoothing

with job(snakemake, may_fail=True) as say:
    study, tables = snakemake.params.study, []
    whole, manifest = store.read(snakemake.input.trials[0]), store.read_json(snakemake.input.split[0])
    for fold in range(study["folds"]):
        recording, roles = splits.fold_of(whole, manifest, fold)
        table = cosmoothing.table(recording, roles, study["members"], study["seed"], say)
        tables.append(table.assign(fold=fold))
    store.write_table(pd.concat(tables, ignore_index=True), snakemake.output[0])
