"""Deal the trials of one recording into roles."""

from cortseq import sources, splits, store
from cortseq.jobs import job

with job(snakemake) as say:
    entry = snakemake.params.entry
    source = sources.find(entry["source"]).model_validate(entry)
    dataset = snakemake.wildcards.dataset
    recording = store.read(snakemake.input[0])
    manifest = splits.split(recording, splits.Deal(**snakemake.params.study), source, dataset)
    manifest["trials_sha256"] = store.sha256(snakemake.input[0])
    store.write_json(manifest, snakemake.output[0])
    for number, fold in enumerate(manifest["folds"]):
        sizes = {role: len(fold[role]) for role in splits.ROLES}
        say(f"fold {number}: {sizes}, units dropped: {fold.get('units_dropped', {})}")
