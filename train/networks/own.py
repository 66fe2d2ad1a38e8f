"""A module of the user's own, lent to an export while it runs.

A checkpoint names a builder, and whoever opens it calls that builder. A module that somebody hands over has
none: it is kept here, under its spec's name, until the export is done.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from runtimes import UsageError

OWN = "own"
"""Name of the builder."""
_LENT: dict[str, nn.Module] = {}


class Positional(nn.Module):
    """Any module behind one way of calling: tensors in a row in, a tensor or a tuple of them out.

    Args:
        module: What is called; not copied.
        keywords: Names of its arguments, in the order of the tensors; empty to pass them by position.
    """

    def __init__(self, module: nn.Module, keywords: Sequence[str] = ()) -> None:
        super().__init__()
        self.module = module
        self.keywords = tuple(keywords)

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Call it."""
        if self.keywords:
            given = self.module(**dict(zip(self.keywords, tensors, strict=True)))
        else:
            given = self.module(*tensors)
        found = tuple(named_tensors(given).values())
        return found[0] if len(found) == 1 else found


def named_tensors(given: Any, name: str = "output") -> dict[str, Tensor]:
    """The tensors in what a module returned, in their order, with the names they have there.

    Args:
        given: A tensor, or lists, tuples, mappings and dataclass-like objects of tensors, in each other.
        name: What to call what has no name of its own.
    """
    if isinstance(given, Tensor):
        return {name: given}
    if isinstance(given, Mapping):
        pairs = [(str(key), value) for key, value in given.items()]
    elif hasattr(given, "_asdict"):  # a named tuple
        pairs = list(given._asdict().items())
    elif isinstance(given, (tuple, list)):
        pairs = [(f"{name}_{at}", value) for at, value in enumerate(given)]
    else:
        return {}
    found: dict[str, Tensor] = {}
    for key, value in pairs:
        for inner, tensor in named_tensors(value, key).items():
            found[inner if inner not in found else f"{key}_{inner}"] = tensor
    return found


@contextmanager
def lent(module: nn.Module, name: str) -> Iterator[dict[str, Any]]:
    """Make `module` what the builder builds under `name`, inside of the with-block.

    Yields:
        The arguments of the builder that stand for it.

    Raises:
        UsageError: Another module is lent under this name: a thread is exporting it.
    """
    if _LENT.setdefault(name, module) is not module:
        raise UsageError(
            f"Module {name!r}",
            got="an export while another of this name is running",
            expected="one at a time",
            fix="Give the specs different names.",
        )
    try:
        yield {"module": name}
    finally:
        del _LENT[name]


def build(module: str) -> nn.Module:
    """A copy of the module that was lent under a name.

    Raises:
        ValueError: There is none: the export that it was lent to is over, or was another process's.
    """
    if module not in _LENT:
        raise ValueError("a module that was exported from memory and is not there any more")
    return copy.deepcopy(_LENT[module])
