"""One file per target: from a baked module to what an engine opens."""
