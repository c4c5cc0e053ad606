"""Markov chains: directly on symbols, or over discretised population states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from cortseq.models.chains import chain, smoothing
from cortseq.models.chains.state_chain import Bins, StateChain

ALPHAS = (0.01, 0.1, 0.5, 1.0, 10.0)


class Markov(StateChain):
    """Markov chain of order k.

    On symbols: p(s_t | s_{t-k} .. s_{t-1}). On counts and signals over `states` population states: states
    are k-means clusters (k-means++, several starts) of the square root of causally smoothed counts
    e_t = d e_{t-1} + (1 - d) y_t, and the prediction is the normalised mixture

        p(y_t | past) = sum_j A[context_t -> j] prod_n Pois(y_nt; lambda_jn)

    with lambda_jn from the training bins of state j under a Gamma prior set by empirical Bayes. Encoder
    and rates see training trials only. d, alpha of additive smoothing (unless given) and the weights of
    Jelinek-Mercer smoothing are chosen on validation; without validation alpha is 0.5 and the weights come
    from the training labels, each left out of its own counts. The smoothings are in `smoothing`.
    """

    family: Literal["markov"] = "markov"
    states: Annotated[int, Field(ge=2, le=512)] = 16
    order: Annotated[int, Field(ge=0, le=8)] = 1
    smoothing: Literal["witten_bell", "additive", "jelinek_mercer", "kneser_ney"] = "witten_bell"
    alpha: Annotated[float, Field(gt=0)] | None = Field(
        None, description="of additive smoothing; default: chosen on validation"
    )
    restarts: Annotated[int, Field(ge=1)] = Field(3, description="k-means starts; the tightest is kept")

    @property
    def length(self) -> int:
        """Return the number of labels in the longest context."""
        return self.order

    def tables(
        self, counts: chain.Table, m: int, train: Bins, held_out: Bins | None
    ) -> Iterator[tuple[chain.Table, dict[str, Any]]]:
        """Yield a smoothed table, or one for each alpha that validation chooses from."""
        if self.smoothing == "additive":
            default = ALPHAS if held_out else (0.5,)
            for alpha in (self.alpha,) if self.alpha else default:
                yield smoothing.additive(counts, m, alpha), {"chosen": {"alpha": alpha}}
        elif self.smoothing == "jelinek_mercer":
            bins = held_out or train
            paths = chain.paths(counts, bins.labels, bins.valid, m)[:, bins.valid]
            if held_out:
                weights = smoothing.held_out_weights(counts, m, paths, bins.likelihood())
            else:
                weights = smoothing.deleted_weights(counts, m, paths, bins.labels[bins.valid])
            yield smoothing.jelinek_mercer(counts, m, weights), {"chosen": {"weights": weights.tolist()}}
        elif self.smoothing == "kneser_ney":
            yield smoothing.kneser_ney(counts, m)
        else:
            yield smoothing.witten_bell(counts, m), {}


MODEL = Markov
