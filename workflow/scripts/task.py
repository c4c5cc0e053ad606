"""Forecasts, limited memory or free runs of the variant of a model that is best on validation; ceilings."""

from cortseq import models, splits, store
from cortseq.jobs import job
from cortseq.scoring import ceilings, generation, tasks

with job(snakemake, may_fail=True) as say:
    task, files, study = snakemake.wildcards.task, snakemake.input, snakemake.params.study
    scored = [path for path in files.scores if store.failure(path) is None] or files.scores
    names = dict(zip(files.scores, snakemake.params.variants))
    scores = {names[path]: store.read(path) for path in scored}
    variant = tasks.best(scores, study["burn_in"])
    fit = models.load(dict(zip(snakemake.params.variants, files.fits))[variant])
    fold = int(snakemake.wildcards.fold)
    recording, roles = splits.fold_of(store.read(files.trials[0]), store.read_json(files.split[0]), fold)
    if task == "generation":
        table = generation.compare(fit, recording, roles["test"], study["seed"])
        store.write_table(table.assign(variant=variant, role=fit.model.role), snakemake.output[0])
    elif task == "ceilings":
        null = store.read(files.null)
        store.write_table(
            ceilings.table(recording, roles, null, study["burn_in"], study["seed"]), snakemake.output[0]
        )
    else:
        if task == "forecasts":
            trials = tasks.forecast_trials(recording, roles["test"], study["forecast_trials"])
            settings = study["horizons"], study["samples"], study["seed"], study["samples_at_most"]
            found = tasks.forecast(
                fit, recording, trials, *settings, store.read(files.null), study["burn_in"]
            )
        else:
            found = tasks.recall(fit, recording, roles["test"])
        store.write(found.assign_attrs(variant=variant, burn_in=study["burn_in"]), snakemake.output[0])
    say(f"{task} of {variant}")
