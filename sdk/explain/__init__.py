"""Why a classifier said what it said: which parts of the picture spoke for an answer."""

from sdk.explain.explaining import explain

__all__ = ["explain"]
