"""Bin and cut one recording into trials."""

from cortseq import preprocess, sources, store
from cortseq.jobs import job

with job(snakemake) as say:
    entry = snakemake.params.entry
    source = sources.registry()[entry["source"]].model_validate(entry)
    recording = preprocess.preprocess(store.read(snakemake.input[0]), source)
    store.write(recording, snakemake.output[0])
    say(f"{dict(recording.sizes)}, dropped or odd: {recording.attrs['dirt']}")
