"""Scores from the last k bins only, of the variant of a recurrent model that is best on validation."""

from cortseq import models, splits, store
from cortseq.jobs import job
from cortseq.scoring import tasks

with job(snakemake) as say:
    names, burn_in = snakemake.params.variants, snakemake.params.study["burn_in"]
    scores = {name: store.read(path) for name, path in zip(names, snakemake.input.scores)}
    variant = tasks.best(scores, burn_in)
    fit = models.load(dict(zip(names, snakemake.input.fits))[variant])
    manifest = store.read_json(snakemake.input.split[0])
    recording, roles = splits.fold_of(
        store.read(snakemake.input.trials[0]), manifest, int(snakemake.wildcards.fold)
    )
    found = tasks.recall(fit, recording, roles["test"])
    store.write(found.assign_attrs(variant=variant, burn_in=burn_in), snakemake.output[0])
    say(f"{variant}: the last {', '.join(map(str, found['memory'].values))} bins")
