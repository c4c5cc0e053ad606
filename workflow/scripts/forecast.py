"""Log-probabilities several bins ahead, of the variant of a model that is best on validation."""

from cortseq import models, splits, store
from cortseq.jobs import job
from cortseq.scoring import tasks

with job(snakemake) as say:
    names, study = snakemake.params.variants, snakemake.params.study
    scores = {name: store.read(path) for name, path in zip(names, snakemake.input.scores)}
    variant = tasks.best(scores, study["burn_in"])
    fit = models.load(dict(zip(names, snakemake.input.fits))[variant])
    manifest = store.read_json(snakemake.input.split[0])
    recording, roles = splits.fold_of(
        store.read(snakemake.input.trials[0]), manifest, int(snakemake.wildcards.fold)
    )
    trials = tasks.spread(roles["test"], study["forecast_trials"])
    found = tasks.forecast(fit, recording, trials, study["horizons"], study["samples"], study["seed"])
    store.write(found.assign_attrs(variant=variant, burn_in=study["burn_in"]), snakemake.output[0])
    say(f"{variant}: {found.attrs['kind']} forecasts of {len(trials)} of {len(roles['test'])} test trials")
