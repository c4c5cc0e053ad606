"""Statistics of free-running simulation, of the variant of a model that is best on validation."""

from cortseq import models, splits, store
from cortseq.jobs import job
from cortseq.scoring import generation, tasks

with job(snakemake) as say:
    names, study = snakemake.params.variants, snakemake.params.study
    scores = {name: store.read(path) for name, path in zip(names, snakemake.input.scores)}
    variant = tasks.best(scores, study["burn_in"])
    fit = models.load(dict(zip(names, snakemake.input.fits))[variant])
    manifest = store.read_json(snakemake.input.split[0])
    recording, roles = splits.fold_of(
        store.read(snakemake.input.trials[0]), manifest, int(snakemake.wildcards.fold)
    )
    table = generation.compare(fit, recording, roles["test"], study["seed"])
    store.write_table(table.assign(variant=variant, role=fit.model.role), snakemake.output[0])
    say(f"{variant}: {len(table)} statistics")
