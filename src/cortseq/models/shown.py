"""How models and fits are shown where one is typed, and what is said of a wrong setting."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from cortseq import entries

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass

    from cortseq.models.base import Fit
else:
    ModelMetaclass = type(BaseModel)


class Named(ModelMetaclass):
    """Lets a class that is called with a wrong setting say so in a line, with the name that was meant."""

    def __call__(cls, *args: Any, **settings: Any) -> Any:
        """Return the model; see the class for what is raised."""
        try:
            return super().__call__(*args, **settings)
        except ValidationError as error:
            known = tuple(cls.model_fields)  # type: ignore[attr-defined]
            raise entries.fault(error, cls.__name__, known=known) from None


def settings(model: BaseModel) -> Iterator[tuple[str, Any]]:
    """Yield the settings that are not the defaults, in their order; `family` is in the class's name."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if name != "family" and value != field.get_default(call_default_factory=True):
            yield name, value


def facts(fit: Fit) -> dict[str, str]:
    """Return what a fit is, as words and numbers."""
    card, lost = fit.card, fit.card.get("failed_members") or {}
    found = {
        "model": repr(fit.model),
        "members": f"{card['members']}" + (f", {len(lost)} failed" if lost else ""),
        "parameters": f"{card['parameters']} a member",
        "observation": f"{card['observation']}, {card['n_features']} {_FEATURES[card['track']]}",
    }
    if len(fit.curves):
        best = fit.curves.groupby("member")["valid_loss"].min()
        found["validation loss"] = ", ".join(f"{value:.4g}" for value in best) + " nats/event, by member"
    return found


_FEATURES = {"counts": "units", "symbols": "labels", "signal": "channels"}


def line(fit: Fit) -> str:
    """Return a fit in a line."""
    found = facts(fit)
    return f"Fit of {found.pop('model')}: " + "; ".join(f"{name} {value}" for name, value in found.items())


def html(fit: Fit) -> str:
    """Return a fit as a table for a notebook."""
    rows = (f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in facts(fit).items())
    return f"<table>{''.join(rows)}</table>"
