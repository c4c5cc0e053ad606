"""Context-tree weighting: every variable-length Markov chain up to a depth at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from cortseq.models.chains import chain, smoothing
from cortseq.models.chains.state_chain import Bins, StateChain


class ContextTree(StateChain):
    """The mixture of all context trees of at most `depth` labels, each pruning weighted by what it explains.

    Leaves predict (c + 1/2) / (n + m/2), a node is a leaf with prior probability 1/2; the mixture is exact
    (see `smoothing.context_tree`). The counts are those of the training trials and stay fixed: what is scored
    does not update them, as with every other model here, so scores of test trials do not depend on their
    order. The probability that the mixture gives the training labels one after the other, which needs no
    held-out data, is in the card as `log_evidence` (nats). Contexts begin with the start symbol, as those of
    `Markov`; counts and signals are first discretised as there. Nothing is chosen on validation but the decay
    of the encoder. Willems, Shtarkov & Tjalkens 1995, IEEE Trans Inf Theory 41:653.
    """

    family: Literal["ctw"] = "ctw"
    states: Annotated[int, Field(ge=2, le=512)] = 16
    depth: Annotated[int, Field(ge=0, le=16)] = 8
    restarts: Annotated[int, Field(ge=1)] = Field(3, description="k-means starts; the tightest is kept")

    @classmethod
    def small(cls, **more: Any) -> Self:
        """Return a small specification with contexts of at most 3 labels."""
        return super().small(**{"depth": 3, **more})

    @property
    def length(self) -> int:
        """Return the number of labels in the longest context."""
        return self.depth

    def tables(
        self, counts: chain.Table, m: int, train: Bins, held_out: Bins | None
    ) -> Iterator[tuple[chain.Table, dict[str, Any]]]:
        """Yield the one table of the mixture, with the evidence of the training labels in nats."""
        table, evidence = smoothing.context_tree(counts, m)
        yield table, {"log_evidence": evidence}


MODEL = ContextTree
