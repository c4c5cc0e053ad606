"""One figure = one module with `draw(...) -> (Figure, table)`; the table holds exactly what is drawn."""
