"""One page and one table of all phenomena of the study: what was predicted, what was measured, what holds."""

from pathlib import Path

import pandas as pd

from cortseq import checks, report, store
from cortseq.jobs import job

with job(snakemake):
    params, sections = snakemake.params, []
    page = Path(snakemake.scriptdir).parent / "report/theory.html.jinja"
    for name, product, figure in zip(params.names, snakemake.input.products, snakemake.input.figures):
        found = store.read(product)
        sections.append(
            {
                "name": name,
                "claim": found.attrs["claim"],
                "checks": checks.table(found),
                "svg": Path(figure).read_text(encoding="utf-8"),
            }
        )
    store.write_text(
        report.theory(page, params.study, sections),
        snakemake.output.page,
    )
    tables = [section["checks"].assign(phenomenon=section["name"]) for section in sections]
    store.write_table(pd.concat(tables, ignore_index=True), snakemake.output.checks)
