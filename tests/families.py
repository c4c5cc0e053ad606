"""Families, sources and observations that the contract tests run over: all that the registries know, none by name."""

from cortseq import models
from cortseq import recording as rec


def recurrent() -> list[str]:
    """Every family of networks."""
    return [name for name, model in models.registry().items() if model.role == "recurrent"]


def trained() -> list[str]:
    """Networks whose cell is learned by gradients, and not held as in a reservoir."""
    return [name for name in recurrent() if not models.registry()[name].reservoir]


def compiled() -> list[str]:
    """Networks with a compiled cell."""
    return [name for name in trained() if models.registry()[name].has_kernel]


def small(family: str, **more):
    """A quick specification of a family."""
    return models.registry()[family].small(**more)


def observations() -> list[str]:
    """Every distribution a bin may be drawn from, over all tracks."""
    return [name for names in rec.OBSERVATIONS.values() for name in names]
