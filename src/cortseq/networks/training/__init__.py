"""How a network learns: settings, the loop over epochs, gradients, engines, and what feeds it."""
