"""Bin and cut one recording into trials."""

import json

from cortseq import leases, preprocess, sources, store
from cortseq.errors import about
from cortseq.jobs import job

with job(snakemake) as say, leases.alone(snakemake, say):
    entry = snakemake.params.entry
    source = sources.find(entry["source"]).model_validate(entry)
    raw = store.read(snakemake.input[0])
    raw.attrs["provenance"] = json.dumps({**entry, **json.loads(raw.attrs["provenance"])})
    with about(f"datasets.{snakemake.wildcards.dataset}", source.path):
        recording = preprocess.judged(raw, source)
    store.write(recording, snakemake.output[0])
    say(f"{dict(recording.sizes)}, dropped or odd: {recording.attrs['dirt']}")
