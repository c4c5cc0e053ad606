"""Which claim may I make: one line for each recording and question, from the tables of the study."""

from cortseq import leases, store
from cortseq.jobs import job
from cortseq.observations.tracks import TRACKS
from cortseq.products import EVIDENCE, Products
from cortseq.scoring import claims, evidence

with job(snakemake) as say, leases.alone(snakemake, say):
    params, files, found = snakemake.params, snakemake.input, {}
    tables = [store.read_table(file) for file in (files.comparison, files.variants, files.corners)]
    for (dataset, track), split in zip(params.tracks.items(), files.splits):
        given = {}
        for need in EVIDENCE:
            pairs = zip(params.labels[need], files.get(need, []))
            mine = [(key, file) for (of, *key), file in pairs if of == dataset]
            given[need] = [(tuple(key), file) for key, file in mine if not store.failure(file)]
        known = store.read_json(split)
        found[dataset] = evidence.gather(
            Products(dataset, given), *tables, TRACKS[track], bool(known["continuous"])
        )
    table = claims.table(found)
    store.write_table(table, snakemake.output[0])
    for line in table.itertuples():
        say(f"{line.dataset}: {line.question} {line.answer}. {line.claim}")
