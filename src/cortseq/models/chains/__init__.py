"""Markov chains: of symbols and of population states, and context trees."""
