"""State-space models: a continuous latent that moves linearly, seen through counts or signals."""
