"""An artifact opened for its engine, without a copy of its weights in this process's memory.

An engine that reads files by itself (ONNX Runtime) needs no bytes from us. It must read those that were
hashed, though, and a path can be given another file between the two. So the file is opened once, hashed
through its descriptor, and the engine is given that descriptor's name below ``/proc/self/fd``: whatever
happens to the path, that is the same file. What is left is somebody writing *into* the file meanwhile. That
changes its time stamp, which is compared after the engine has read: such a model is refused before it
answers anything.

For 10 MB of weights this saves 10 MB at the peak of memory and 15 ms of a start, half of them page faults.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import numpy as np

from runtimes import Program, entry_for
from sdk.artifact import Artifact, onnx_file, read_artifact
from sdk.artifact.manifest import Manifest
from sdk.artifact.sealed import damaged

_DESCRIPTORS = Path("/proc/self/fd")
_CHUNK_BYTES = 1 << 22
"""The fastest of 2¹⁸ to 2²⁵: after each chunk the hashing thread needs the interpreter's lock, which an
import may hold for 20 ms, and large ones cost page faults."""


def carries_no_contract(path: str | os.PathLike[str]) -> bool:
    """Whether another tool wrote a file that can be used all the same: an `.onnx` without our seal at its
    end, or an `.engine` or `.trt` that begins with a JSON note instead of our frame.
    """
    path, suffix = Path(path), Path(path).suffix.lower()
    if suffix not in (".onnx", ".engine", ".trt"):
        return False
    try:
        with path.open("rb", buffering=0) as file:
            if suffix != ".onnx":
                return file.read(5)[4:] == b"{"
            size = os.fstat(file.fileno()).st_size
            return onnx_file.contract_length(_read_end(file.fileno(), size, onnx_file.SEAL_BYTES)) is None
    except (OSError, ValueError):
        return False  # whoever opens it says what is wrong with it


@contextmanager
def opened_artifact(path: str | os.PathLike[str]) -> Iterator[tuple[Artifact, Program]]:
    """Check an artifact, and have its main graph's program ready to be opened inside of the with-block.

    Args:
        path: As for `read_artifact`.

    Yields:
        The artifact without its bytes (it reads them again when asked), and what its engine opens.

    Raises:
        ArtifactError: As `read_artifact`, or the file was written to while it was being opened.
        SpecError: Written by another version.
    """
    path = Path(path)
    descriptors = path.suffix.lower() == ".onnx" and _DESCRIPTORS.is_dir()
    if not descriptors or not os.access(path, os.R_OK) or path.is_dir():
        artifact = read_artifact(path)  # or says why it cannot be read
        yield artifact.let_go(), artifact.program()
        return
    with path.open("rb", buffering=0) as file:
        descriptor = file.fileno()
        before = _stamp(descriptor)
        artifact = _checked(path, descriptor)
        program = artifact.program_at(str(_DESCRIPTORS / str(descriptor)))
        yield artifact, program
        if _stamp(descriptor) != before:
            raise damaged(path.name)


def _checked(path: Path, descriptor: int) -> Artifact:
    size = os.fstat(descriptor).st_size
    try:
        length = onnx_file.contract_length(_read_end(descriptor, size, onnx_file.SEAL_BYTES))
    except ValueError as error:
        raise damaged(path.name) from error
    if length is None or length > size:
        return read_artifact(path).let_go()  # says what is wrong with it
    parts = onnx_file.split(_read_end(descriptor, size, length), path.name)
    if parts is None:
        raise damaged(path.name)
    digest = _hashing(descriptor, size - length)
    try:
        manifest = Manifest.from_bytes(parts.manifest, f"Artifact {path.name!r}")
        entry_for(path.suffix).load().import_engine()
    finally:
        found = digest()  # before anybody closes the descriptor
    if found != manifest.payload_sha256:
        raise damaged(path.name)
    return Artifact(path, manifest, size, None)


def _hashing(descriptor: int, length: int) -> Callable[[], str]:
    """Begin to hash the file's first `length` bytes; call the result for the hash.

    Reading and hashing let go of the interpreter's lock: another core does it while this one reads the
    manifest, imports what that names, and imports the engine.
    """
    found: list[str | OSError] = []

    def work() -> None:
        try:
            found.append(_digest(descriptor, length))
        except OSError as error:
            found.append(error)

    worker = Thread(target=work, daemon=True)
    worker.start()

    def digest() -> str:
        worker.join()
        return str(found[0])

    return digest


def _digest(descriptor: int, length: int) -> str:
    # Not a bytearray: that is filled with zeros first, with the interpreter's lock held.
    told, view, at = hashlib.sha256(), np.empty(min(_CHUNK_BYTES, length), np.uint8).data, 0
    while at < length:
        count = os.preadv(descriptor, [view[: length - at]], at)
        if count == 0:
            break  # shorter than it was: the hash will not fit
        told.update(view[:count])
        at += count
    return told.hexdigest()


def _read_end(descriptor: int, size: int, length: int) -> bytes:
    return os.pread(descriptor, length, max(0, size - length))


def _stamp(descriptor: int) -> tuple[int, int]:
    """What writing changes. Not the change time: that moves when another file takes over the path, too."""
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns
