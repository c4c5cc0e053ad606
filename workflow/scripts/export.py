"""Predictions of one variant as a CSV table."""

from cortseq import store
from cortseq.jobs import job

with job(snakemake):
    predictions = store.read(snakemake.input[0])
    table = predictions["predicted"].to_dataframe().dropna().reset_index()
    store.write_table(table, snakemake.output[0])
