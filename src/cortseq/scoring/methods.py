"""Methods in this study's own numbers: what a methods section says of one recording."""

from __future__ import annotations

from typing import Any

from cortseq._lazy import pd
from cortseq.scoring import printed, words

_SWEPT_FROM = "chosen"  # columns of variants.csv after this one and the next two are the swept settings
_FIXED = ("folds_chosen", "share_chosen")


def sentences(
    facts: dict[str, Any], rows: pd.DataFrame, variants: pd.DataFrame, study: dict[str, Any], planned: int
) -> list[str]:
    """Return the sentences on one recording.

    Parameters
    ----------
    facts : the rows of the recording's table (`report.facts`).
    rows : of comparison.csv of the recording, without models that failed.
    variants : of variants.csv of the recording.
    study : settings of the study, with `epochs`, the most that each variant is trained for.
    planned : tests that Holm's adjustment is over: networks of all recordings.
    """
    said = [_recording(facts), _models(rows, variants), _networks(rows, study), _tests(rows, planned)]
    return [sentence for sentence in said if sentence]


def _recording(facts: dict[str, Any]) -> str:
    parts = [f"{facts[key]}" for key in ("kind", "trials") if key in facts]
    parts += [f"{key} {facts[key]}" for key in ("units", "bin", "channels", "alphabet") if key in facts]
    dealt = f"; trials by role: {facts['roles']}" if "roles" in facts else ""
    drawn = f". Distribution of a bin: {facts['observation']}" if "observation" in facts else ""
    return f"Recording: {'; '.join(parts)}{dealt}{drawn}."


def _models(rows: pd.DataFrame, variants: pd.DataFrame) -> str:
    """Return how many models there are, and what was chosen on validation trials from how many variants."""
    names = list(variants["model"].unique()) if len(variants) else []
    said = f"{_number(len(names), 'model')} in {_number(len(variants), 'variant')}, the null among them."
    chosen = [_sweep(str(name), variants[variants["model"] == name]) for name in names]
    if any(chosen):
        said += f" Chosen on validation trials: {'; '.join(filter(None, chosen))}."
    tuned = rows[~rows["averaged"] & (rows["settings_tried"] > 1)]
    if len(tuned):
        most = tuned.loc[tuned["settings_tried"].idxmax()]
        said += f" With penalties and other settings {len(tuned)} models were tuned, over at most "
        said += f"{most['settings_tried']:.0f} settings ({most['model']}; the table has all)."
    return said


def _sweep(name: str, variants: pd.DataFrame) -> str:
    """Return "markov from 8 (states 16, 32; order 1, 2, 3, 4)"; "" of a model with one variant."""
    if len(variants) < 2:
        return ""
    keys = [c for c in variants.columns[list(variants.columns).index(_SWEPT_FROM) + 1 :] if c not in _FIXED]
    swept = {key: variants[key].dropna().unique() for key in keys}
    settings = [
        f"{key} {', '.join(_plain(v) for v in values)}" for key, values in swept.items() if len(values)
    ]
    return f"{name} from {len(variants)} ({'; '.join(settings)})"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _networks(rows: pd.DataFrame, study: dict[str, Any]) -> str:
    """Return how many networks were fitted how often, and for how long; "" without any."""
    networks = rows[(rows["role"] == "recurrent") & ~rows["averaged"]]
    if networks.empty:
        return ""
    low, high = int(networks["members"].min()), int(networks["members"].max())
    times = _range(low, high)
    split = "on one split" if study["folds"] == 1 else f"on each of {study['folds']} folds"
    s = "s" * (high != 1)
    said = f"{_number(len(networks), 'network')}, fitted from {times} random start{s} (members) {split}."
    trained = networks[networks["kept_epoch"].notna()]
    by_epochs: dict[int, list[str]] = {}
    for name in trained["variant"]:
        if (most := study["epochs"].get(name)) is not None:
            by_epochs.setdefault(most, []).append(str(name))
    if by_epochs:
        most_epochs = [f"{most} ({words.listed(names)})" for most, names in sorted(by_epochs.items())]
        kept = _range(trained["kept_epoch"].min(), trained["kept_epoch"].max())
        said += f" Gradient descent (AdamW) for at most so many epochs: {'; '.join(most_epochs)}."
        said += " The weights kept are those with the lowest loss on validation trials,"
        said += f" of epoch {kept} on average over members."
    return said


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _range(low: float, high: float) -> str:
    """Return "88", or "60 to 88" where the ends differ once they are rounded."""
    return f"{low:.0f}" if f"{low:.0f}" == f"{high:.0f}" else f"{low:.0f} to {high:.0f}"


def _tests(rows: pd.DataFrame, planned: int) -> str:
    """Return what was tested: against which models, over what, and how p-values are adjusted."""
    first = rows.iloc[0]
    names = {"the best Markov chain": first["reference"], "the best model that is no network": first["rival"]}
    against = [f"{what} ({name})" for what, name in names.items() if isinstance(name, str) and name]
    if not against or not planned:
        return ""
    return (
        f"Each network was tested against the null, {' and '.join(against)}: paired differences on "
        f"{first['trials']} test trials, {printed.blocks(rows)}; Holm's adjustment over "
        f"{_number(planned, 'network')} of the study, for each of the three opponents by itself."
    )
