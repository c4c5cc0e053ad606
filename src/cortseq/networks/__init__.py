"""Recurrent networks: cells, training, forecasts and flows."""
