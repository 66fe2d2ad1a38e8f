"""Networks by name. A builder takes ``channels`` and ``classes`` and returns a torch module, untrained."""
