"""How models and fits are shown where one is typed, and what is said of a wrong setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, dataclass_transform

from pydantic import BaseModel, ValidationError

from cortseq import entries, notebook

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass

    from cortseq.models.saved import Saved
else:
    ModelMetaclass = type(BaseModel)


# No `field_specifiers`: type checkers take `Field(64, description=...)` for a default of 64 then.
@dataclass_transform(kw_only_default=True)
class Typed(ModelMetaclass):
    """Tells type checkers that settings are the keywords of a class, each with a default."""


@dataclass_transform(kw_only_default=True)
class Named(Typed):
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


def facts(fit: Saved) -> dict[str, str]:
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


def line(fit: Saved) -> str:
    """Return a fit in a line."""
    found = facts(fit)
    return f"Fit of {found.pop('model')}: " + "; ".join(f"{name} {value}" for name, value in found.items())


def html(fit: Saved) -> str:
    """Return a fit as a table for a notebook."""
    found = facts(fit)
    learned = fit.card.get("learned_from") or {}
    if learned:
        found["learned from"] = f"{len(learned['train'])} trials, choosing on {len(learned['valid'])}"
    return notebook.facts(f"Fit of {found.pop('model')}", found)


def html_of_model(model: BaseModel) -> str:
    """Return a specification as a table for a notebook: what it is, and its settings."""
    first = (type(model).__doc__ or "").strip().partition("\n")[0]
    changed = dict(settings(model))
    rest = {k: v for k, v in model if k != "family" and k not in changed}
    return notebook.facts(type(model).__name__, changed, rest, first)
