"""Settings of a network that has to do with several sessions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from cortseq.models.base import Specification


class Sessions(Specification):
    """Abstract: what a network takes from other sessions, and which of its parameters are learned."""

    after: Literal["previous"] | None = Field(
        None,
        description="previous: on the sessions of the study's `sequence` learning begins with what was "
        "learned on the one before; null: from random parameters on each",
    )

    across: str | None = Field(
        None,
        description="a name of the study's `together`, whose sessions share one cell; null: each has its own",
    )
    cell: Literal["learned", "frozen"] = Field(
        "learned",
        description="frozen: read-in, read-out and start state alone are learned; the cell stays as it was "
        "drawn, or as it was learned on other sessions",
    )

    @model_validator(mode="after")
    def _at_once_or_in_order(self) -> Sessions:
        if self.across is not None and self.after is not None:
            raise ValueError("sessions are learned at once or one after another: across or after, not both")
        return self
