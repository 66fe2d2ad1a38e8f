"""Networks by name. Each builder takes ``channels`` and ``classes`` and returns a torch module with fresh weights."""
