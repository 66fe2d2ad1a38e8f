"""Training checkpoints as safetensors: model, optimiser, scheduler, loops and callbacks in one file.

Reading one never runs code, as unpickling would. Tensors lie under flat names; everything else is JSON in
the header. A hash over both is checked before anything is used.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from runtimes import ArtifactError
from sdk.atomic_write import atomic_write
from train.state_codec import StateTypeError, decode_state, encode_state

STATE_VERSION = "1"
_TREE, _VERSION, _HASH = "edgewright_state", "edgewright_state_version", "edgewright_state_sha256"


class SafetensorsCheckpointIO(CheckpointIO):
    """Lightning's checkpoints without pickle. Pass it to the trainer's ``plugins``."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write `checkpoint` atomically.

        Raises:
            StateTypeError: It holds a value that safetensors and JSON cannot.
        """
        if storage_options is not None:
            raise TypeError("storage_options are not supported")
        tensors, tree = encode_state(checkpoint)
        text = json.dumps(tree, separators=(",", ":"), allow_nan=False)
        metadata = {_VERSION: STATE_VERSION, _TREE: text, _HASH: _digest(text, tensors)}
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, save(tensors, metadata))

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read what `save_checkpoint` wrote. `weights_only` has no meaning here: there is no pickle.

        Raises:
            ArtifactError: The file is missing, truncated, altered, or of another kind or version.
        """
        del weights_only
        name = Path(path).name
        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        except (OSError, SafetensorError) as error:
            raise _unreadable(name, "a file that is not whole safetensors") from error
        if metadata.get(_VERSION) != STATE_VERSION:
            raise _unreadable(name, f"state of version {metadata.get(_VERSION)!r}")
        text = metadata.get(_TREE, "")
        if _digest(text, tensors) != metadata.get(_HASH):
            raise _unreadable(name, "bytes that do not match its own hash")
        if isinstance(map_location, (str, torch.device)):
            tensors = {key: tensor.to(map_location) for key, tensor in tensors.items()}
        try:
            state: dict[str, Any] = decode_state(tensors, json.loads(text))
        except (ValueError, StateTypeError) as error:
            raise _unreadable(name, f"a tree that cannot be read ({error})") from error
        return state

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete the file where it is there."""
        Path(path).unlink(missing_ok=True)


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _unreadable(name: str, got: str) -> ArtifactError:
    return ArtifactError(
        f"Training checkpoint {name!r}",
        got=got,
        expected=f"a checkpoint of `edgewright train`, state version {STATE_VERSION}",
        fix="Train again from the start with --overwrite.",
    )
