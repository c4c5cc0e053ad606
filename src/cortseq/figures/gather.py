"""What each figure draws, read from the products of a study: one function per figure, by its name."""

from __future__ import annotations

import pandas as pd

from cortseq import splits, store


def comparison_table(out: str) -> pd.DataFrame:
    return store.read_table(f"{out}/comparison.csv")


def _models(out: str) -> pd.DataFrame:
    """The comparison without the rows of averaged members, which are no models of their own."""
    table = comparison_table(out)
    return table[~table["averaged"]]


def _chosen(out: str, dataset: str, role: str) -> pd.DataFrame:
    """Chosen variants of a role on one recording, best on validation first."""
    table = store.read_table(f"{out}/variants.csv")
    mine = table[(table["dataset"] == dataset) & (table["role"] == role) & table["chosen"]]
    return mine.sort_values("valid", ascending=False, kind="stable")


def scores(out: str, dataset: None) -> dict:
    return {"comparison": _models(out)}


def order(out: str, dataset: None) -> dict:
    return {"variants": store.read_table(f"{out}/variants.csv"), "comparison": _models(out)}


def curves(out: str, dataset: str) -> dict:
    table = store.read_table(f"{out}/variants.csv")
    mine = table[(table["dataset"] == dataset) & (table["role"] == "recurrent")]["variant"]
    event = {"bits_per_spike": "spike", "bits_per_symbol": "symbol", "nats_per_sample": "sample"}
    metric = comparison_table(out).query("dataset == @dataset")["metric"].iloc[0]
    return {
        "curves": {v: store.read_table(f"{out}/fits/{dataset}/{v}/fold0.parquet") for v in mine},
        "event": event[metric],
    }


def trial(out: str, dataset: str) -> dict:
    names = [
        *_chosen(out, dataset, "recurrent")["variant"][:1],
        *_chosen(out, dataset, "markov")["variant"][:1],
    ]
    names = names or ["null"]
    recording = store.read(f"{out}/trials/{dataset}.zarr.zip")
    recording, _ = splits.fold_of(recording, store.read_json(f"{out}/splits/{dataset}.json"), 0)
    stems = {name: f"{out}/predictions/{dataset}/{name}/fold0.zarr.zip" for name in names}
    return {"recording": recording, "predictions": {name: store.read(stem) for name, stem in stems.items()}}


def _dissections(out: str, dataset: str) -> dict:
    names = _chosen(out, dataset, "recurrent")["variant"]
    return {"dissections": {v: store.read(f"{out}/dynamics/{dataset}/{v}/fold0.zarr.zip") for v in names}}


states = jacobian_spectra = weight_spectra = _dissections
