"""A network fitted to a draw of itself: what is true and what is found of each dynamical quantity."""

from cortseq import models, splits, store
from cortseq.dynamics import calibration
from cortseq.jobs import job

with job(snakemake, may_fail=True) as say:
    params, manifest = snakemake.params, store.read_json(snakemake.input.split[0])
    recording, roles = splits.fold_of(store.read(snakemake.input.trials[0]), manifest, 0)
    fit, draw = models.load(snakemake.input.fit[0]), int(snakemake.wildcards.draw)
    start = models.load(snakemake.input.start[0]) if snakemake.input.start else None
    table = calibration.refit(fit, recording, roles, draw, params.seed, params.device, say, start=start)
    store.write_table(table, snakemake.output[0])
