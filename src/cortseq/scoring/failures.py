"""What of a study could not be made, and how the comparison says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cortseq import store
from cortseq._lazy import pd

COLUMNS = {
    "dataset": "the recording",
    "product": "what could not be made: fits, scores, dynamics, forecasts, ...",
    "name": "the variant or model",
    "fold": "of the split",
    "why": "in one line",
}
VERDICT = "failed: "


def of_files(files: Mapping[tuple[str, str, str, int], str]) -> pd.DataFrame:
    """Return a row for each file that only says why it could not be made.

    Parameters
    ----------
    files : (dataset, product, variant or model, fold) -> path.

    Returns
    -------
    table with the columns of `COLUMNS`.
    """
    found = [(*key, store.failure(file)) for key, file in files.items()]
    return pd.DataFrame([row for row in found if row[-1] is not None], columns=list(COLUMNS))


def append(
    comparison: pd.DataFrame, failed: pd.DataFrame, models: Mapping[Any, dict[str, Any]]
) -> pd.DataFrame:
    """Return comparison.csv with a row for each variant that could not be fitted or scored.

    Such a row has no score: counts are 0, other numbers missing, and the verdict says why.

    Parameters
    ----------
    failed : as of `of_files`, of fits and scores.
    models : (dataset, variant) -> model, variant, family, role.
    """
    blank = {name: 0 for name in comparison.select_dtypes("integer")}
    metrics = comparison.groupby("dataset", sort=False)["metric"].first()
    rows = [
        blank
        | {"dataset": dataset, "metric": metrics.get(dataset, ""), "averaged": False, "equivalent": False}
        | models[dataset, name]
        | {"verdict": VERDICT + first["why"]}
        for (dataset, name), first in failed.groupby(["dataset", "name"], sort=False).first().iterrows()
    ]
    return pd.concat([comparison, pd.DataFrame(rows, columns=comparison.columns)]) if rows else comparison


def split(comparison: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of comparison.csv that have numbers, and those of variants that failed."""
    failed = comparison["verdict"].str.startswith(VERDICT)
    return comparison[~failed], comparison[failed]


def sentences(failed: pd.DataFrame) -> list[str]:
    """One sentence for each row of `of_files`; none for numbers that only follow from a fit that failed."""
    fits = failed[failed["product"] == "fits"]
    known = set(zip(fits["dataset"], fits["why"], strict=True))
    follows = [pair in known for pair in zip(failed["dataset"], failed["why"], strict=True)]
    causes = failed[failed["product"].isin(["fits", "figures"]) | ~np.array(follows, bool)]
    return [
        f"{r.dataset}: {r.product} of {r.name}{f', fold {r.fold + 1}' if r.fold else ''}: {r.why}"
        for r in causes.itertuples(index=False)
    ]
