"""Typed results: small frozen dataclasses with `.to_dict()` and `.plot()`. One file per kind."""

from sdk.results.classification import Classification, RankedLabel

__all__ = ["Classification", "RankedLabel"]
