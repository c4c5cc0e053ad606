"""One-step log-probabilities and predictions of one variant on one fold."""

from cortseq import models, splits, store
from cortseq.jobs import job
from cortseq.scoring import products

with job(snakemake, may_fail=True) as say:
    manifest = store.read_json(snakemake.input.split[0])
    fold = int(snakemake.wildcards.fold)
    recording, roles = splits.fold_of(store.read(snakemake.input.trials[0]), manifest, fold)
    fit = models.load(snakemake.input.fit[0])
    scores = products.scores(fit, recording, roles, snakemake.params.burn_in)
    store.write(scores, snakemake.output.scores)
    store.write(products.predictions(fit, recording, roles["test"]), snakemake.output.predictions)
    test = scores["log_prob"][:, scores["role"] == "test"]
    say(f"test: {float(test.sum()) / test.sizes['member']:.1f} nats a member")
