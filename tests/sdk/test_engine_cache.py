"""The cache of TensorRT engines: keys, seals, room."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from runtimes import Dim, TensorInfo, UsageError
from runtimes.tensorrt_builder import FROM_ENGINE, BuiltEngine
from runtimes.tensorrt_layers import Layer
from runtimes.tensorrt_options import BuildOptions
from sdk.engine_cache import DEFAULT_LIMIT_MB, EngineCache, EngineKey, default_folder

MIB = 1 << 20
KEY = EngineKey("ab" * 32, "tensorrt", "10.3.0", "Orin", "36.4.3", None, {"max_batch": 4, "shapes": {}})
BUILT = BuiltEngine(
    b"ftrt plan\n{}\n" + bytes(range(256)),
    "fp16",
    (Layer("conv1", "CONVOLUTION", "float16"),),
    FROM_ENGINE,
    (TensorInfo("image", "uint8", (Dim(1, 4), 8, 8, 1)),),
    {"scores": "float32"},
    ("CURRENT",),
    {"tensorrt": "10.3.0"},
    1.5,
    ("fc",),
    True,
)


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "a" / "engines")


def keys(count: int) -> list[EngineKey]:
    return [replace(KEY, onnx_sha256=f"{number:064x}") for number in range(count)]


def test_engine_comes_back_as_it_was_stored(cache: EngineCache) -> None:
    assert cache.load(KEY) is None
    assert cache.save(KEY, BUILT)
    assert cache.load(KEY) == BUILT
    assert cache.notes == []
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "change",
    [
        {"onnx_sha256": "cd" * 32},
        {"package": "tensorrt_rtx"},
        {"version": "10.3.1"},
        {"gpu": "NVIDIA Thor"},
        {"l4t": "36.4.4"},
        {"l4t": None},
        {"precision": "fp16"},
        {"profile": {"max_batch": 8, "shapes": {}}},
        {"recipe": 2},
    ],
    ids="-".join,
)
def test_each_part_of_the_key_counts(cache: EngineCache, change: dict[str, object]) -> None:
    cache.save(KEY, BUILT)
    assert cache.load(replace(KEY, **change)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "of another key", "foreign"])
def test_damaged_entry_is_removed_with_a_note(cache: EngineCache, damage: str) -> None:
    cache.save(KEY, BUILT)
    [path] = cache.folder.iterdir()
    data = path.read_bytes()
    if damage == "of another key":
        other = replace(KEY, version="9")
        cache.save(other, BUILT)
        (cache.folder / f"{other.digest}.engine").replace(path)
    else:
        middle = len(data) // 2
        path.write_bytes(
            {
                "cut": data[:-5],
                "changed": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
                "empty": b"",
                "foreign": b"not ours",
            }[damage]
        )
    assert cache.load(KEY) is None
    assert [note.partition("…")[2] for note in cache.notes] == [" was damaged and is built again."]
    assert list(cache.folder.iterdir()) == []


def test_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, limit_mb=3)
    big = replace(BUILT, plan=bytes(MIB - 4096))
    first, second, third, fourth = keys(4)
    for age, key in enumerate((first, second, third)):
        cache.save(key, big)
        os.utime(tmp_path / f"{key.digest}.engine", (age, age))
    assert cache.load(first) is not None  # used just now
    cache.save(fourth, big)
    assert [cache.load(key) is not None for key in (first, second, third, fourth)] == [
        True,
        False,
        True,
        True,
    ]
    cache.save(fourth, big)  # takes its own place
    assert len(list(tmp_path.iterdir())) == 3


def test_engine_larger_than_the_cache_is_not_stored(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, limit_mb=1)
    cache.save(KEY, BUILT)
    assert not cache.save(replace(KEY, version="9"), replace(BUILT, plan=bytes(2 * MIB)))
    assert cache.notes == ["The engine (2 MiB) is larger than the whole cache: not stored."]
    assert cache.load(KEY) is not None


def test_folder_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = EngineCache(tmp_path / "file" / "engines")
    assert not cache.save(KEY, BUILT)
    assert cache.notes == ["The engine was not stored in the cache: Not a directory."]
    assert cache.load(KEY) is None


def test_clear_leaves_other_files(cache: EngineCache) -> None:
    assert cache.clear() == (0, 0)
    for key in keys(3):
        cache.save(key, BUILT)
    (cache.folder / "mine.txt").write_text("mine")
    count, size = cache.clear()
    assert (count, size > 3 * len(BUILT.plan)) == (3, True)
    assert [path.name for path in cache.folder.iterdir()] == ["mine.txt"]


def test_limit_must_be_positive() -> None:
    with pytest.raises(UsageError, match=r"'cache-limit-mb': got 0, .* Say --no-cache"):
        EngineCache(limit_mb=0)
    assert EngineCache().limit_bytes == DEFAULT_LIMIT_MB * MIB


def test_default_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "edgewright" / "engines"
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert default_folder() == Path.home() / ".cache" / "edgewright" / "engines"


def test_key_is_of_plain_json() -> None:
    options = BuildOptions(shapes={"x": ((1, 2), (1, 4), (1, 8))}, kept=("fc",))
    key = replace(KEY, profile={"shapes": {"x": [[1, 2], [1, 4], [1, 8]]}, "kept": list(options.kept)})
    assert len(key.digest) == 64
    assert key.digest == replace(key).digest
