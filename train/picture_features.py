"""Feature networks: what pictures are compared by when single pixels say nothing.

Either the last layer but one of a network that was trained on pictures of the kind (a checkpoint of
Edgewright), or a small network with fixed random weights, which needs no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes import Array, UsageError
from sdk.artifact import read_artifact
from sdk.inputs.image import IMAGE, ImageInput
from sdk.spec import Spec
from train.data.real_pictures import without_channel
from train.start import require_checkpoint

if TYPE_CHECKING:
    from torch import Tensor, nn

RANDOM = "random convolutions 1"
"""Name of the network that needs no file; the number changes when its weights do."""
_RANDOM_SEED, _RANDOM_WIDTHS = 1, (32, 64, 64)
_BATCH = 128


@dataclass(frozen=True)
class FeatureNetwork:
    """From pictures to features.

    Attributes:
        name: What it is, for people.
        sha256: Of its weights; of none for the network of random weights, whose name says all.
        path: File it was read from; None where there is none.
        extract: From pictures, uint8 (H, W), (H, W, 1) or (H, W, 3) each, to float32 (N, D).
    """

    name: str
    sha256: str | None
    path: Path | None
    extract: Callable[[Sequence[Array]], Array]

    def to_json(self) -> dict[str, Any]:
        """For the evidence of a checkpoint."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "path": None if self.path is None else str(self.path),
        }


def open_features(path: Path | None) -> FeatureNetwork:
    """The network of a checkpoint, or that of random weights for None.

    Raises:
        ArtifactError: The file cannot be read, or is not whole.
        UsageError: It is no checkpoint of a task on pictures.
    """
    return _random_network() if path is None else _checkpoint_network(path)


def features_again(record: Mapping[str, Any]) -> FeatureNetwork | None:
    """The network that a record of `FeatureNetwork.to_json` speaks of; None where its file is not here.

    Raises:
        ArtifactError: There is a file, and it is damaged.
        UsageError: There is a file with other weights.
    """
    if record["path"] is None:
        return _random_network() if record["name"] == RANDOM else None
    path = Path(record["path"])
    if not path.is_file():
        return None
    found = _checkpoint_network(path)
    if found.sha256 != record["sha256"]:
        raise UsageError(
            f"Feature network {path.name!r}",
            got="other weights than those that the checkpoint was scored with",
            expected=f"payload {str(record['sha256'])[:12]}…",
            fix="Put the old file back, or move this one away: then pictures are compared directly.",
        )
    return found


def _checkpoint_network(path: Path) -> FeatureNetwork:
    from runtimes.torch_runtime import load_network

    artifact = read_artifact(path)
    require_checkpoint(artifact, "Option --features")
    if not isinstance(artifact.spec.input, ImageInput):
        raise _unfit(path, f"one that takes {artifact.spec.input.kind!r}")
    network = load_network(artifact.program()).eval()
    head = _last_linear(network)
    if head is None:
        raise _unfit(path, "a network without a linear head")
    sha256 = artifact.manifest.payload_sha256
    spec = artifact.spec
    name = f"{spec.network.name} of task {spec.task}, input of its head"
    return FeatureNetwork(name, sha256, path, lambda pictures: _penultimate(network, head, spec, pictures))


def _last_linear(network: nn.Module) -> nn.Module | None:
    from torch import nn

    found = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return found[-1] if found else None


def _penultimate(network: nn.Module, head: nn.Module, spec: Spec, pictures: Sequence[Array]) -> Array:
    """What the head is given: float32 (N, D)."""
    import torch

    kept: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _module, given: kept.append(given[0].detach().flatten(1)))
    try:
        with torch.inference_mode():
            for start in range(0, len(pictures), _BATCH):
                loaded = map(without_channel, pictures[start : start + _BATCH])
                samples = [spec.input.load(picture) for picture in loaded]
                # One view of each: which way round it is judged must not depend on how it was trained.
                arrays = spec.input.batch(samples, ("views",))
                network(torch.from_numpy(arrays[IMAGE]))
    finally:
        hook.remove()
    found: Array = torch.cat(kept).numpy()
    return found


def _random_network() -> FeatureNetwork:
    return FeatureNetwork(RANDOM, None, None, _random_features)


def _random_features(pictures: Sequence[Array]) -> Array:
    """Mean and deviation of each channel behind three strided convolutions: float32 (N, 128).

    Random features rank generators much as trained ones do on pictures unlike ImageNet's (Naeem et al. 2020,
    "Reliable Fidelity and Diversity Metrics for Generative Models").
    """
    import torch
    import torch.nn.functional as F  # noqa: N812 (torch's own convention)

    grey = without_channel(pictures[0]).ndim == 2
    kernels = _random_kernels(1 if grey else 3)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(pictures), _BATCH):
            stacked = np.stack([without_channel(picture) for picture in pictures[start : start + _BATCH]])
            pixels = torch.from_numpy(stacked[..., None] if grey else stacked)
            maps = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0
            for kernel in kernels:
                maps = F.leaky_relu(F.conv2d(maps, kernel, stride=2, padding=1), 0.2)
            flat = maps.flatten(2)
            parts.append(torch.cat([flat.mean(dim=2), flat.std(dim=2, unbiased=False)], dim=1))
    found: Array = torch.cat(parts).numpy()
    return found


def _random_kernels(channels: int) -> list[Tensor]:
    import torch

    from sdk.inputs.noise import draw_normal

    kernels, before = [], channels
    for at, after in enumerate(_RANDOM_WIDTHS):
        shape = (after, before, 3, 3)
        drawn = draw_normal(_RANDOM_SEED + at, int(np.prod(shape))).reshape(shape)
        kernels.append(torch.from_numpy(drawn * np.float32(np.sqrt(2.0 / (before * 9)))))
        before = after
    return kernels


def _unfit(path: Path, got: str) -> UsageError:
    return UsageError(
        f"Option --features {path.name!r}",
        got=got,
        expected="a checkpoint that names or embeds pictures",
        fix="Train one: edgewright train product --data PATH.",
    )
