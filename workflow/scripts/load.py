"""Read one raw file as it was recorded."""

import json
from pathlib import Path

from cortseq import fetch, leases, sources, store
from cortseq.jobs import job
from cortseq.sources import asked

with job(snakemake) as say, leases.alone(snakemake, say):
    entry = snakemake.params.entry
    source = sources.find(entry["source"]).model_validate(entry)
    file = Path(snakemake.input[0]) if snakemake.input else fetch.raw_path(source)
    digest = {"file": file.name, "sha256": fetch.verify(source, file)} if file else {}
    raw = asked.read(source, file, snakemake.params.seed)
    raw.attrs["provenance"] = json.dumps({**entry, **digest, "seed": snakemake.params.seed})
    store.write(raw, snakemake.output[0])
    say(f"{entry['source']}: {dict(raw.sizes)}, dropped: {raw.attrs.get('dirt', '{}')}")
