"""Predict from any Edgewright artifact, with numpy and Pillow and the artifact's engine alone."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdk.artifact import read_artifact as read_artifact
    from sdk.predictor import Predictor as Predictor
    from sdk.spec import Spec as Spec

__version__ = "0.1.0"
__all__ = ["Predictor", "Spec", "__version__", "read_artifact"]

_HOMES = {"Predictor": "sdk.predictor", "Spec": "sdk.spec", "read_artifact": "sdk.artifact"}


def __getattr__(name: str) -> Any:
    """Import public names when they are first asked for: `edgewright --help` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sdk' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
