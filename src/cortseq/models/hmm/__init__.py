"""Hidden Markov models: states, their emissions, and expectation maximisation."""
