"""Fixed points, Jacobian and weight spectra of every member of one recurrent variant."""

from cortseq import models, splits, store
from cortseq.dynamics import analyse
from cortseq.jobs import job

with job(snakemake) as say:
    manifest = store.read_json(snakemake.input.split[0])
    fold = int(snakemake.wildcards.fold)
    recording, roles = splits.fold_of(store.read(snakemake.input.trials[0]), manifest, fold)
    fit = models.load(snakemake.input.fit[0])
    found = analyse.dissect_fit(
        fit,
        recording,
        roles["test"],
        snakemake.params.label,
        snakemake.params.seed,
        n_starts=32,
    ).assign_coords(time=recording["time"].values)
    found.attrs.update(dataset=snakemake.wildcards.dataset, variant=snakemake.wildcards.variant)
    store.write(found, snakemake.output[0])
    say(f"{found.attrs}")
