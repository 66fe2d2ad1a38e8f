"""Finished TensorRT engines on disk, so that what was built once on this device is not built again.

An engine is good for one model, one TensorRT, one GPU, one release of Jetson Linux, one precision and one
profile of shapes: all of that is its key, and another of any of them is another entry. An entry is written
whole or not at all, and its hash is checked before anything parses it.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import UsageError
from sdk.atomic_write import atomic_write

if TYPE_CHECKING:
    from runtimes.tensorrt_builder import BuiltEngine
    from runtimes.tensorrt_options import BuildOptions

RECIPE = 1
"""Part of each key. To be raised when the builder's own settings change what comes out."""
DEFAULT_LIMIT_MB = 4096
NO_GPU = "none, built ahead of time"
_SUFFIX = ".engine"
_MAGIC = b"edgewright engine 1\n"
_DIGEST_CHARACTERS = 64


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on.

    Attributes:
        onnx_sha256: Of the graph, weights included.
        package: ``tensorrt`` or ``tensorrt_rtx``.
        version: Of that package.
        gpu: Model of the GPU it is built on, or `NO_GPU`.
        l4t: Release of Jetson Linux; None elsewhere.
        precision: As it was asked for; None: as the graph is.
        profile: Batches, shapes, GPU generations, memory and other options of the build.
        recipe: `RECIPE`.
    """

    onnx_sha256: str
    package: str
    version: str
    gpu: str
    l4t: str | None
    precision: str | None
    profile: dict[str, Any]
    recipe: int = RECIPE

    @property
    def digest(self) -> str:
        """SHA-256 of all of it: the entry's name."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def engine_key(onnx_sha256: str, options: BuildOptions) -> EngineKey:
    """The key of what would be built here, now.

    Raises:
        EngineMissingError: No TensorRT that could build is installed, or no CUDA binding.
        DeviceError: The package that was asked for needs a GPU, and there is none.
    """
    from runtimes.cuda_memory import gpu_count, open_cuda
    from runtimes.tensorrt_builder import choose_package
    from sdk.machine import read_machine

    has_gpu = gpu_count() > 0
    package = choose_package(options.package, has_gpu)
    jetson = read_machine().jetson
    profile = asdict(options)
    for name in ("precision", "package"):
        del profile[name]
    return EngineKey(
        onnx_sha256,
        package.name,
        package.version,
        open_cuda().device_name if has_gpu else NO_GPU,
        jetson.l4t if jetson else None,
        options.precision,
        json.loads(json.dumps(profile)),  # tuples as they come back from JSON
    )


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/edgewright/engines``, below ``~/.cache`` where that is not set.

    See the XDG Base Directory Specification: a relative path in the variable is ignored.
    """
    stated = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(stated) if Path(stated).is_absolute() else Path.home() / ".cache"
    return home / "edgewright" / "engines"


class EngineCache:
    """One folder of engines.

    Args:
        folder: Made when the first engine is stored, readable to its owner alone: whoever can write there
            decides what this user's GPU runs.
        limit_mb: Most that all entries may take, in MiB; those that were not used for longest go first.

    Attributes:
        notes: What a user should know of the last calls: a damaged entry, a full disk.
    """

    def __init__(self, folder: Path | None = None, limit_mb: int = DEFAULT_LIMIT_MB) -> None:
        if limit_mb < 1:
            raise UsageError(
                "Option 'cache-limit-mb'",
                got=str(limit_mb),
                expected="a whole number from 1",
                fix="Say --no-cache to store nothing.",
            )
        self.folder = folder or default_folder()
        self.limit_bytes = limit_mb << 20
        self.notes: list[str] = []

    def load(self, key: EngineKey) -> BuiltEngine | None:
        """The engine of that key; None where there is none, or a damaged one, which is then removed."""
        from runtimes.tensorrt_build_process import built_from

        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        parts = _unsealed(data, key)
        if parts is None:
            self.drop(key)
            self.notes.append(f"The stored engine {path.name[:12]}… was damaged and is built again.")
            return None
        with suppress(OSError):  # a folder that may only be read
            os.utime(path)  # used the latest: evicted the last
        record, plan = parts
        return built_from(plan, record)

    def save(self, key: EngineKey, built: BuiltEngine) -> bool:
        """Store an engine; False, with a note, where it cannot be stored. The build itself stands."""
        from runtimes.tensorrt_build_process import record_of

        data = _sealed(key, record_of(built), built.plan)
        if len(data) > self.limit_bytes:
            self.notes.append(
                f"The engine ({len(data) >> 20} MiB) is larger than the whole cache: not stored."
            )
            return False
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(len(data), self._path(key))
            atomic_write(self._path(key), data)
        except (OSError, UsageError) as error:
            reason = error.got if isinstance(error, UsageError) else error.strerror or str(error)
            self.notes.append(f"The engine was not stored in the cache: {reason}.")
            return False
        return True

    def drop(self, key: EngineKey) -> None:
        """Remove one entry."""
        self._path(key).unlink(missing_ok=True)

    def clear(self) -> tuple[int, int]:
        """Remove all entries. How many there were, and how many bytes they took."""
        entries = self._entries()
        for path, _, _ in entries:
            path.unlink(missing_ok=True)
        return len(entries), sum(size for _, size, _ in entries)

    def _path(self, key: EngineKey) -> Path:
        return self.folder / f"{key.digest}{_SUFFIX}"

    def _entries(self) -> list[tuple[Path, int, float]]:
        """Path, bytes and time of last use of each entry, the least recently used first."""
        found = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            try:
                status = path.stat()
            except OSError:
                continue  # another process removed it meanwhile
            found.append((path, status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: entry[2])

    def _make_room(self, needed: int, replaced: Path) -> None:
        others = [entry for entry in self._entries() if entry[0] != replaced]
        total = sum(size for _, size, _ in others) + needed
        for path, size, _ in others:
            if total <= self.limit_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size


def _sealed(key: EngineKey, record: dict[str, Any], plan: bytes) -> bytes:
    """Magic, SHA-256 of the rest in hexadecimal, one line of JSON, and the plan."""
    head = json.dumps({"key": asdict(key), "record": record}, separators=(",", ":")).encode()
    rest = head + b"\n" + plan
    return _MAGIC + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def _unsealed(data: bytes, key: EngineKey) -> tuple[dict[str, Any], bytes] | None:
    """Record and plan; None for anything but what `_sealed` wrote under this key."""
    start = len(_MAGIC) + _DIGEST_CHARACTERS + 1
    digest, rest = data[len(_MAGIC) : start - 1], data[start:]
    if not data.startswith(_MAGIC) or hashlib.sha256(rest).hexdigest().encode() != digest:
        return None
    head, _, plan = rest.partition(b"\n")
    tree = json.loads(head)
    return (tree["record"], plan) if tree["key"] == asdict(key) else None
