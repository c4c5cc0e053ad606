"""A network fitted to its recording with the bins of each trial in random order, examined on the recording."""

from cortseq import models, splits, store
from cortseq.dynamics import controls, laboratory
from cortseq.jobs import job

with job(snakemake, may_fail=True) as say:
    params, manifest = snakemake.params, store.read_json(snakemake.input.split[0])
    recording, roles = splits.fold_of(store.read(snakemake.input.trials[0]), manifest, 0)
    model = models.find(params.spec["family"]).model_validate(params.spec)
    shuffled = controls.shuffled(recording, params.seed)
    start = models.load(snakemake.input.start[0]) if snakemake.input.start else None
    how = params.members, params.seed, params.device, say, None, start
    fit = model.fit(shuffled, roles["train"], roles["valid"], *how)
    where = roles["train"], roles["test"], params.label, params.seed, say
    store.write(laboratory.examine(fit, recording, *where, analyses=laboratory.NUMBERS), snakemake.output[0])
