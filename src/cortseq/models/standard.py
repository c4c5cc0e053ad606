"""The models of a study that names none."""

from typing import Any

MODELS: dict[str, dict[str, Any]] = {
    **{name: {"family": name} for name in ("psth", "drift", "flat", "persistence")},
    "markov": {"family": "markov", "states": [8, 16, 32], "order": [1, 2]},
    "hmm": {"family": "hmm", "states": [8, 16, 32]},
    "lds": {"family": "lds", "latents": [4, 8, 16]},
    "glm": {"family": "glm", "history": [1, 50]},
    **{name: {"family": name} for name in ("rate", "lstm", "lru", "esn", "dale", "stp")},
}

# Beside them where a recording has inputs: models that see inputs alone, and the past alone.
OF_INPUTS: dict[str, dict[str, Any]] = {
    "encoding": {"family": "glm", "history": 0},
    "glm_blind": {"family": "glm", "history": [1, 50], "inputs": False},
    "rate_blind": {"family": "rate", "inputs": False},
}
