"""Figures of the phenomena: `draw(found) -> (Figure, table)`, by the name of the module that measures."""
