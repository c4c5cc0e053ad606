"""Audits of all variants of one recording; a failed one stops the workflow."""

from cortseq import models, splits, store
from cortseq.errors import CortseqError
from cortseq.jobs import job
from cortseq.scoring import audits, input_audits, probes

with job(snakemake) as say:
    params, manifest = snakemake.params, store.read_json(snakemake.input.split[0])
    whole = store.read(snakemake.input.trials[0])
    digest = store.sha256(snakemake.input.trials[0])
    found, scores, fits = [*audits.observed(whole), *input_audits.inputs(whole)], {}, {}
    for name, fold, fit_file, score_file in zip(*params.table, snakemake.input.fits, snakemake.input.scores):
        if store.failure(score_file):
            continue
        recording, roles = splits.fold_of(whole, manifest, fold)
        fit = models.load(fit_file)
        found.append(audits.causality(name, fit, recording, roles["test"]))
        found.append(audits.provenance(name, fit, roles, recording, digest))
        scores.setdefault(fold, {})[name] = store.read(score_file)
        if fold == 0:
            fits[name] = fit
    for fold, every in scores.items():
        found.append(audits.same_bins(every))
        found += audits.overlap(whole, manifest["folds"][fold])
        found.append(audits.blocks(whole, manifest["folds"][fold]))
        found.append(audits.selection(whole, manifest, fold))
    recording, roles = splits.fold_of(whole, manifest, 0)
    starts = {n: models.load(f) for n, f in zip(params.started, snakemake.input.starts) if n in fits}
    for name, spec in params.canaries.items():
        if name not in fits:  # it failed
            continue
        model = models.find(spec["family"]).model_validate(spec)
        try:
            found.append(probes.canary(name, model, whole))
            found.append(probes.refit(name, fits[name], recording, roles, starts.get(name)))
        except CortseqError as error:
            found.append(
                audits.Audit("refit", False, f"{name} cannot be fitted again: {error}", stopping=False)
            )
        found.append(probes.normalisation(name, fits[name], recording, roles))
    pair = probes.pair(fits, scores.get(0, {}))
    if pair:
        n_time = int(recording["valid"].sum("time").median())
        found += probes.surrogates(*pair, n_time)
    for audit in found:
        if not audit.stopping:
            say(audit.detail)
    store.write_json(audits.report(found), snakemake.output[0])
