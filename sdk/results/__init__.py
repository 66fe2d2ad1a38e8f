"""Typed results: frozen dataclasses with `.to_dict()`, `.summary()` and `.plot()`. One file per kind."""

from sdk.results.classification import Classification, RankedLabel

__all__ = ["Classification", "RankedLabel"]
