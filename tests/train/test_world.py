"""Who a process is, and what a run in a single one does without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn

from runtimes import DataError, UsageError
from train.distributed import World, joined
from train.processes import LOCAL_RANK, LOCAL_SIZE, RANK, SIZE
from train.synchronised_norm import SynchronisedNorm, SynchronisedNorms
from train.tasks.base import Split

ROUNDING = 2e-6
"""Sums of some hundred float32 numbers around 1, added in another order."""


def _environment(patch: pytest.MonkeyPatch, *values: str) -> None:
    for name, value in zip((RANK, SIZE, LOCAL_RANK, LOCAL_SIZE), values, strict=True):
        patch.setenv(name, value)


def _split(count: int) -> Split:
    return Split("val", [f"item {at}" for at in range(count)], list(range(count)), (), "")


def test_a_process_alone_is_a_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SIZE, raising=False)
    assert World.of_environment() == World()
    monkeypatch.setenv(SIZE, "1")
    monkeypatch.setenv(RANK, "0")
    assert World.of_environment() == World()


def test_a_world_of_two_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    _environment(monkeypatch, "5", "8", "1", "4")
    world = World.of_environment()
    assert (world.rank, world.size, world.local_rank, world.nodes) == (5, 8, 1, 2)
    assert not world.is_first


@pytest.mark.parametrize(
    "values",
    [
        ("2", "2", "0", "2"),
        ("0", "3", "0", "2"),
        ("0", "2", "2", "2"),
        ("0", "2", "x", "2"),
        ("0", "2", "0", "4"),
    ],
    ids=["no such rank", "uneven machines", "no such local rank", "no number", "more here than anywhere"],
)
def test_a_world_that_cannot_be_is_refused(values: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    _environment(monkeypatch, *values)
    with pytest.raises(UsageError, match="Environment of the training processes: got RANK="):
        World.of_environment()


def test_half_a_world_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIZE, "2")
    monkeypatch.delenv(LOCAL_RANK, raising=False)
    with pytest.raises(UsageError, match="torchrun"):
        World.of_environment()


def test_alone_nothing_is_shared_or_divided() -> None:
    world, split = World(), _split(3)
    assert world.by_first(lambda: 7) == world.together(lambda: 7) == 7
    assert world.part_of(split) is split
    assert world.collected(["a", "b", "c"], split) == ["a", "b", "c"]
    with pytest.raises(DataError):
        world.by_first(_refuse)


def _refuse() -> None:
    raise DataError("Data", got="nothing", expected="something", fix="Add it.")


@pytest.mark.parametrize(("rank", "items"), [(0, [0, 2, 4]), (1, [1, 3])])
def test_each_judges_its_part(rank: int, items: list[int]) -> None:
    part = World(rank, 2, rank, 2).part_of(_split(5))
    assert [part.items[row] for row in range(len(part))] == [f"item {at}" for at in items]
    assert list(part.targets) == items


def test_fewer_items_than_processes_are_judged_by_all() -> None:
    split = _split(2)
    assert World(2, 3, 2, 3).part_of(split) is split
    assert World(2, 3, 2, 3).collected(["a", "b"], split) == ["a", "b"]


# --- batch normalisation ----------------------------------------------------------------------------------


@pytest.fixture
def alone() -> Iterator[None]:
    """A group of this one process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("momentum", [0.1, None], ids=str)
@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm2d, (4, 3, 5, 5)), (nn.BatchNorm1d, (8, 3))], ids=["2d", "1d"]
)
def test_synchronised_norm_of_one_is_torchs(
    kind: type, shape: tuple[int, ...], momentum: float | None
) -> None:
    torch.manual_seed(0)
    plain, other = kind(3, momentum=momentum), kind(3, momentum=momentum)
    other.load_state_dict(plain.state_dict())
    norm = SynchronisedNorm(other)
    given = torch.randn(shape) * 2 + 1
    for _ in range(2):
        left, right = (given.clone().requires_grad_() for _ in range(2))
        plain(left).square().mul(torch.arange(3.0).view(1, 3, *[1] * (len(shape) - 2))).sum().backward()
        norm(right).square().mul(torch.arange(3.0).view(1, 3, *[1] * (len(shape) - 2))).sum().backward()
        torch.testing.assert_close(left.grad, right.grad, atol=1e-4, rtol=1e-4)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, atol=ROUNDING, rtol=ROUNDING)
    torch.testing.assert_close(norm.eval()(given), plain.eval()(given), atol=ROUNDING, rtol=ROUNDING)


def test_norms_are_put_in_and_taken_out() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4)))
    names, parameters = list(network.state_dict()), list(network.parameters())
    before = list(network.modules())
    norms = SynchronisedNorms("cpu")
    norms.apply(network)
    assert isinstance(network[1], SynchronisedNorm)
    assert isinstance(network[2][0], SynchronisedNorm)
    assert list(network.state_dict()) == names
    assert all(left is right for left, right in zip(network.parameters(), parameters, strict=True))
    norms.revert(network)
    assert list(network.modules()) == before


def test_alone_no_connection_is_made() -> None:
    with joined(World(), "cpu"):
        assert not dist.is_initialized()
