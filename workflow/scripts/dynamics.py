"""Every analysis of the dynamics of one recurrent variant, and the table of what its members agree on."""

from cortseq import models, splits, store
from cortseq.dynamics import laboratory, summary
from cortseq.jobs import job

with job(snakemake, may_fail=True) as say:
    manifest = store.read_json(snakemake.input.split[0])
    fold = int(snakemake.wildcards.fold)
    recording, roles = splits.fold_of(store.read(snakemake.input.trials[0]), manifest, fold)
    found = laboratory.examine(
        models.load(snakemake.input.fit[0]),
        recording,
        roles["train"],
        roles["test"],
        snakemake.params.label,
        snakemake.params.seed,
        say,
    ).assign_coords(time=recording["time"].values)
    found.attrs.update(dataset=snakemake.wildcards.dataset, variant=snakemake.wildcards.variant)
    store.write(found, snakemake.output.product)
    store.write_table(summary.summarise(found), snakemake.output.table)
