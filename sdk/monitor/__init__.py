"""Watching a model that serves: what it is fed and what it answers, against what it was proved on."""
