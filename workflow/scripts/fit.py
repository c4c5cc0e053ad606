"""Fit all members of one variant to one fold."""

import time
from pathlib import Path

from cortseq import jobs, models, splits, store
from cortseq.errors import about
from cortseq.jobs import job
from cortseq.models.base import Checkpoint

with job(snakemake, may_fail=True) as say:
    params, fold = snakemake.params, int(snakemake.wildcards.fold)
    manifest = store.read_json(snakemake.input.split[0])
    recording, roles = splits.fold_of(store.read(snakemake.input.trials[0]), manifest, fold)
    model = models.find(params.spec["family"]).model_validate(params.spec)
    seconds = snakemake.config.get("checkpoint_seconds", Checkpoint.seconds)
    checkpoint = Checkpoint(Path(params.checkpoint), seconds)
    begun = time.monotonic()
    start = models.load(snakemake.input.start[0]) if snakemake.input.start else None
    how = params.members, params.seed, params.device, say, checkpoint, start
    with about(f"fit of {snakemake.wildcards.variant} to {snakemake.wildcards.dataset}"):
        fit = model.fit(recording, roles["train"], roles["valid"], *how)
    seconds = time.monotonic() - begun
    fit.card.update(jobs.fitted(snakemake.wildcards.variant, manifest["trials_sha256"], seconds))
    fit.save(snakemake.output.params)
    checkpoint.path.unlink(missing_ok=True)
    say(f"fitted in {fit.card['seconds']:.1f} s, {fit.card['parameters']} parameters a member")
