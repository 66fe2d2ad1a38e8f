"""Darknet's weights files: a header, and then the numbers of every convolution in the order of the network.

The header is three int32 (major, minor, revision) and the number of pictures seen: int64 from version 0.2 on,
int32 before. A convolution with batch normalisation stores shift, scale, running mean, running variance and
kernel; one without, bias and kernel (Darknet's ``parser.c``, ``load_convolutional_weights``). All numbers are
float32 and little endian.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from runtimes import Array, UsageError

_VERSION_BYTES = 12
_WIDE_SEEN_VERSION = 2


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill `network`, which has ``darknet_sections()``, from a weights file.

    Raises:
        UsageError: It cannot be read, has more or fewer bytes than the network needs, or holds NaN.
    """
    modules = [section.module for section in network.darknet_sections() if section.module is not None]
    wanted = sum(tensor.numel() for module in modules for tensor in _tensors(module))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _wrong(path, error.strerror or str(error), "a readable file", "Check the path.") from error
    header = _header_bytes(data)
    if len(data) != header + 4 * wanted:
        raise _wrong(
            path,
            f"{len(data):,} bytes",
            f"{header + 4 * wanted:,}: {wanted:,} numbers behind a header of {header}",
            "Copy it again if it was cut short; else use the .cfg that belongs to it.",
        )
    values = np.frombuffer(data, "<f4", offset=header)
    if not np.isfinite(values).all():
        raise _wrong(
            path, "NaN or infinite weights", "finite ones", "Use the weights of an earlier iteration."
        )
    _fill(modules, values)


def weights_file(network: nn.Module) -> bytes:
    """The weights of `network` as Darknet would write them, with a header of version 0.2 and nothing seen."""
    modules = [section.module for section in network.darknet_sections() if section.module is not None]
    header = np.array([0, 2, 0, 0, 0], "<i4").tobytes()
    arrays = [tensor.detach().numpy().astype("<f4") for module in modules for tensor in _tensors(module)]
    return header + b"".join(array.tobytes() for array in arrays)


def _fill(modules: list[nn.Module], values: Array) -> None:
    at = 0
    with torch.no_grad():
        for module in modules:
            for tensor in _tensors(module):
                chunk = values[at : at + tensor.numel()].astype(np.float32)
                tensor.copy_(torch.from_numpy(chunk).reshape(tensor.shape))
                at += tensor.numel()


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """The tensors of a convolution in the order of the file."""
    if isinstance(module, nn.Conv2d):
        assert module.bias is not None
        yield from (module.bias, module.weight)
    else:
        convolution, norm = module[0], module[1]
        yield from (norm.bias, norm.weight, norm.running_mean, norm.running_var, convolution.weight)


def _header_bytes(data: bytes) -> int:
    version = np.frombuffer(data[:_VERSION_BYTES].ljust(_VERSION_BYTES, b"\0"), "<i4")
    major, minor = int(version[0]), int(version[1])
    return _VERSION_BYTES + (8 if major * 10 + minor >= _WIDE_SEEN_VERSION else 4)


def _wrong(path: Path, got: str, expected: str, fix: str) -> UsageError:
    return UsageError(f"Weights {path.name!r}", got=got, expected=expected, fix=fix)
