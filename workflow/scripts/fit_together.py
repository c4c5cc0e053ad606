"""Fit all members of one variant to one fold of several recordings that share a cell."""

import time
from pathlib import Path

from cortseq import jobs, models, splits, store
from cortseq.errors import about
from cortseq.jobs import job
from cortseq.models.base import Checkpoint
from cortseq.networks.together import fit_together

with job(snakemake, may_fail=True) as say:
    params, given, key = snakemake.params, snakemake.input, snakemake.wildcards
    model = models.find(params.spec["family"]).model_validate(params.spec)
    seconds = snakemake.config.get("checkpoint_seconds", Checkpoint.seconds)
    checkpoint = Checkpoint(Path(params.checkpoint), seconds)
    manifests = dict(zip(params.sessions, map(store.read_json, given.splits), strict=True))
    trials = dict(zip(params.sessions, map(store.read, given.trials), strict=True))
    cut = {name: splits.fold_of(trials[name], manifests[name], int(key.fold)) for name in trials}
    recordings = {name: recording for name, (recording, _) in cut.items()}
    roles = [{name: every[role] for name, (_, every) in cut.items()} for role in ("train", "valid")]
    begun = time.monotonic()
    with about(f"fit of {key.variant} to {', '.join(trials)} together"):
        how = params.members, params.seed, params.device, say, checkpoint
        fits = fit_together(model, recordings, *roles, *how)
    seconds = (time.monotonic() - begun) / len(fits)  # the share of each
    for name, fit in fits.items():
        fit.card.update(jobs.fitted(key.variant, manifests[name]["trials_sha256"], seconds))
        fit.save(snakemake.output.get(f"params_{name}"))
    checkpoint.path.unlink(missing_ok=True)
    say(f"fitted in {seconds * len(fits):.1f} s, {len(fits)} recordings with one cell")
