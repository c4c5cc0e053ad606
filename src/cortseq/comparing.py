"""Models compared on one recording from Python: `cortseq.compare`, what a study does without its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cortseq import models as families
from cortseq import splits
from cortseq._lazy import pd, xr
from cortseq.errors import CortseqError, about
from cortseq.models.progress import Progress, chosen
from cortseq.scoring import compare as tables
from cortseq.scoring import printed, products, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cortseq.models.base import Fit, Model

Models = Mapping[str, "Model | Sequence[Model]"]


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `cortseq.compare` found.

    Attributes
    ----------
    table : DataFrame, the rows of comparison.csv (docs of the columns: `cortseq.scoring.rows.COLUMNS`).
    variants : DataFrame, a row for every model that was fitted, those of a sweep among them.
    fits : name of a variant -> its fit of each fold.
    folds : roles of the trials in each fold: "train", "valid", "test", positions along `trial`.
    """

    table: pd.DataFrame
    variants: pd.DataFrame
    fits: dict[str, list[Fit]]
    folds: list[dict[str, Any]]

    @property
    def verdicts(self) -> list[str]:
        """What may be said of the models, in sentences."""
        return words.summary(self.table)

    def plot(self) -> Figure:
        """Return the figure of the ladder: the gain of every model over the null with its 95 % interval."""
        from cortseq.figures import ladder

        return ladder.draw(self.table)[0]

    def __repr__(self) -> str:
        """Return the table as a terminal shows it, and the verdicts."""
        return printed.short(self.table)

    def _repr_html_(self) -> str:
        """Return the verdicts and the columns that matter first, for a notebook."""
        shown = ["model", "rung", "value", "low", "high", "gain_over_markov", "gain_over_rival", "verdict"]
        said = "".join(f"<p>{escape(line)}</p>" for line in self.verdicts)
        return said + self.table[shown].to_html(index=False, float_format=lambda x: f"{x:.3f}")


def compare(
    recording: xr.Dataset,
    models: Models,
    *,
    members: int = 3,
    folds: int = 1,
    seed: int = 0,
    burn_in: int = 0,
    device: str = "cpu",
    progress: Progress | bool | None = None,
) -> Comparison:
    """Fit models to a recording and compare them on held-out trials, as a study does.

    Every model is fitted to the training trials of each fold, chooses on its validation trials, and is scored
    on its test trials; the null (training means) is always among them. Trials are dealt by `seed`, within
    quantiles of the first covariate where the recording has one; those of a continuous recording in blocks
    with guards between them.

    Parameters
    ----------
    recording : a Recording, such as `cortseq.read` or `cortseq.recording.from_counts` returns.
    models : name -> model, or several models of which validation chooses one.
    members : random restarts of every model that has any. Fewer than three can claim nothing.
    folds : 1 for one split, k > 1 for k-fold.
    seed : of every random choice.
    burn_in : bins at the start of each trial that are not scored.
    device : "auto", "cpu" or "cuda".
    progress : as of `Model.fit`: True shows a bar, False nothing.

    Returns
    -------
    Comparison : `.table`, `.verdicts`, `.fits["rate"][0]`, `.plot()`.

    Raises
    ------
    CortseqError : no model, a name that is taken, too few trials, a model that cannot be fitted.
    """
    named = _variants(models)
    deal = splits.Deal(seed=seed, folds=folds)
    entry: Any = SimpleNamespace(**_KEYS, covariates=recording.attrs.get("covariates", []))
    dealt = splits.split(recording, deal, entry, "recording")
    shown: Progress = chosen(progress)
    scored, fits = [], {}
    for number, (variant, (model, spec)) in enumerate(named.items()):
        say = _saying(shown, variant, number, len(named))
        of_folds, scores = [], []
        for fold in range(folds):
            part, roles = splits.fold_of(recording, dealt, fold)
            with about(f"fit of {variant}"):
                fit = spec.fit(part, roles["train"], roles["valid"], members, seed, device, say)
            fit.card["variant"] = variant
            of_folds.append(fit)
            scores.append(products.scores(fit, part, roles, burn_in))
        cards, curves = [fit.card for fit in of_folds], [fit.curves for fit in of_folds]
        scored.append(tables.gather(variant, model, {}, cards, scores, burn_in, curves))
        fits[variant] = of_folds
    shown(f"{len(named)} models are fitted", 1.0)
    found = tables.table("recording", recording, dealt["folds"], scored, burn_in, seed)
    return Comparison(tables.finish(found.rows), pd.DataFrame(found.variants), fits, dealt["folds"])


# Keys of a dataset entry that `splits.split` reads, at their defaults; used in place of an entry.
_KEYS = {"stratify": None, "min_rate_hz": 0.0, "max_rate_hz": None, "max_units": None}


def _variants(models: Models) -> dict[str, tuple[str, Model]]:
    """Return variant -> (model, specification), the null first."""
    found: dict[str, tuple[str, Model]] = {"null": ("null", families.find("null").model_validate({}))}
    if not models:
        raise CortseqError("nothing to compare", key="models", fix='give {"rate": cortseq.models.Rate()}')
    for name, given in models.items():
        if name == "null":
            raise CortseqError("the null is always compared", key="models", value=name, fix="leave it out")
        several = [given] if not isinstance(given, Sequence) else list(given)
        if not several:
            raise CortseqError(
                "a model without a specification", key="models", value=name, fix="leave it out"
            )
        for i, spec in enumerate(several):
            variant = name if len(several) == 1 else f"{name}_{i}"
            if variant in found:
                raise CortseqError(
                    "two models have this name", key="models", value=variant, fix="choose other names"
                )
            found[variant] = (name, spec)
    return found


def _saying(shown: Progress, variant: str, number: int, total: int) -> Progress:
    """Return the progress of one variant, which says where in the whole it stands."""
    who = f"{variant} ({number + 1} of {total})"
    return lambda line, fraction=None: shown(f"{who}: {line}", (number + min(fraction or 0.0, 0.99)) / total)
