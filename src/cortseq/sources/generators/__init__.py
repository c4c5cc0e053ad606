"""Generators of synthetic recordings, by track; importing this registers them all."""

from cortseq.sources.generators import counts, symbols
from cortseq.sources.generators.base import GENERATORS, Generator, generator

__all__ = ["GENERATORS", "Generator", "counts", "generator", "symbols"]
