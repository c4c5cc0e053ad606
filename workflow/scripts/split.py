"""Deal the trials of one recording into roles."""

from types import SimpleNamespace

from cortseq import leases, splits, store
from cortseq.jobs import job

with job(snakemake) as say, leases.alone(snakemake, say):
    source, deal = SimpleNamespace(**snakemake.params.entry), splits.Deal(**snakemake.params.deal)
    recording = store.read(snakemake.input[0])
    manifest = splits.split(recording, deal, source, snakemake.wildcards.dataset)
    manifest["trials_sha256"] = store.sha256(snakemake.input[0])
    store.write_json(manifest, snakemake.output[0])
    for number, fold in enumerate(manifest["folds"]):
        sizes = {role: len(fold[role]) for role in splits.ROLES}
        say(f"fold {number}: {sizes}, units dropped: {fold.get('units_dropped', {})}")
