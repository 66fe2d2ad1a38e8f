"""Training checkpoints as files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from runtimes import ArtifactError
from train.checkpoint_io import SafetensorsCheckpointIO
from train.state_codec import StateTypeError

IO = SafetensorsCheckpointIO()
CHECKPOINT: dict[str, Any] = {
    "epoch": 3,
    "state_dict": {"layer.weight": torch.rand(4, 3), "layer.steps": torch.tensor(7)},
    "optimizer_states": [
        {"state": {0: {"exp_avg": torch.rand(4, 3)}}, "param_groups": [{"betas": (0.9, 0.999)}]}
    ],
    "callbacks": {"EarlyStopping{'monitor': 'x'}": {"best_score": torch.tensor(float("inf"))}},
}


def _assert_same(left: Any, right: Any) -> None:
    assert type(left) is type(right)
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            _assert_same(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            _assert_same(one, other)
    else:
        assert left == right


def test_checkpoint_comes_back(tmp_path: Path) -> None:
    IO.save_checkpoint(CHECKPOINT, tmp_path / "inner" / "last.safetensors")
    _assert_same(IO.load_checkpoint(tmp_path / "inner" / "last.safetensors"), CHECKPOINT)


def test_checkpoint_of_a_real_optimiser_continues_it(tmp_path: Path) -> None:
    def step(optimizer: torch.optim.Optimizer, weight: torch.Tensor) -> None:
        weight.grad = torch.ones_like(weight)
        optimizer.step()

    weight = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], 0.1)
    step(optimizer, weight)
    IO.save_checkpoint({"w": weight, "o": optimizer.state_dict()}, tmp_path / "c.safetensors")
    step(optimizer, weight)
    loaded = IO.load_checkpoint(tmp_path / "c.safetensors")
    other = loaded["w"].clone().requires_grad_()
    resumed = torch.optim.AdamW([other], 0.1)
    resumed.load_state_dict(loaded["o"])
    step(resumed, other)
    assert torch.equal(other, weight)


def test_unknown_type_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    IO.save_checkpoint({"epoch": 1}, path)
    before = path.read_bytes()
    with pytest.raises(StateTypeError, match=r"state\.bad is a builtins\.set"):
        IO.save_checkpoint({"epoch": 2, "bad": {1}}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.999], ids=lambda at: f"at {at}")
def test_flipped_bit_is_found(tmp_path: Path, at: float) -> None:
    path = tmp_path / "last.safetensors"
    IO.save_checkpoint(CHECKPOINT, path)
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 0x10
    path.write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match=r"'last\.safetensors'"):
        IO.load_checkpoint(path)


@pytest.mark.parametrize("keep", [0, 5, 200, -1], ids=lambda keep: f"{keep} bytes")
def test_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "last.safetensors"
    IO.save_checkpoint(CHECKPOINT, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match="not whole safetensors"):
        IO.load_checkpoint(path)


def test_foreign_safetensors_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ArtifactError, match="state of version None"):
        IO.load_checkpoint(tmp_path / "foreign.safetensors")


def test_pickle_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    path.write_bytes(pickle.dumps({"epoch": 1}))
    with pytest.raises(ArtifactError, match="not whole safetensors"):
        IO.load_checkpoint(path)


def test_remove_checkpoint_may_be_called_twice(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    IO.save_checkpoint({"epoch": 1}, path)
    IO.remove_checkpoint(path)
    IO.remove_checkpoint(path)
    assert not path.exists()
