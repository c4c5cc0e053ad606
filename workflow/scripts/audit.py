"""Audits of all variants of one recording; a failed one stops the workflow."""

from cortseq import models, splits, store
from cortseq.jobs import job
from cortseq.scoring import audits

with job(snakemake) as say:
    manifest = store.read_json(snakemake.input.split[0])
    whole = store.read(snakemake.input.trials[0])
    digest = store.sha256(snakemake.input.trials[0])
    found, scores = [], {}
    for name, fold, fit_file, score_file in zip(
        *snakemake.params.table, snakemake.input.fits, snakemake.input.scores
    ):
        recording, roles = splits.fold_of(whole, manifest, fold)
        fit = models.load(fit_file)
        found.append(audits.causality(name, fit, recording, roles["test"]))
        found.append(audits.provenance(name, fit, roles, recording, digest))
        scores.setdefault(fold, {})[name] = store.read(score_file)
    for fold, every in scores.items():
        found.append(audits.same_bins(every))
        found += audits.overlap(whole, manifest["folds"][fold])
    for name, spec in snakemake.params.canaries.items():
        model = models.registry()[spec["family"]].model_validate(spec)
        found.append(audits.canary(name, model, whole))
        say(found[-1].detail)
    store.write_json(audits.report(found), snakemake.output[0])
