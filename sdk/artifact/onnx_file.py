"""The contract inside `.onnx`: two `metadata_props` entries appended to the file.

Protobuf messages merge on concatenation, so a `ModelProto` that holds nothing but metadata may follow
the model's own bytes: ONNX Runtime, the onnx package and TensorRT read the two as one model. The last
entry, the seal, has a fixed length, so that plain Python finds and checks everything from the file's end:

    model | metadata_props {key: "edgewright", value: manifest}
          | metadata_props {key: "edgewright_seal", value: "<bytes of both entries> <manifest SHA-256>"}
"""

from __future__ import annotations

from runtimes import ArtifactError
from sdk.artifact.sealed import Parts, damaged, sha256
from sdk.wire import encoded

_METADATA_PROPS = 14  # of ModelProto
_KEY, _VALUE = 1, 2  # of StringStringEntryProto
_LENGTH_DIGITS = 16


def join(payload: bytes, manifest: bytes) -> bytes:
    """The model followed by its contract."""
    return payload + _frame(manifest)


def split(data: bytes, name: str) -> Parts | None:
    """Take a file apart; None when it carries no contract.

    Raises:
        ArtifactError: The contract was altered.
    """
    try:
        length = contract_length(data[-SEAL_BYTES:])
        if length is None:
            return None
        frame = data[len(data) - length :]
        if not SEAL_BYTES < length <= len(data):
            raise ValueError
        manifest = _manifest_of(frame[:-SEAL_BYTES])
    except (ValueError, IndexError) as error:
        raise damaged(name) from error
    if _frame(manifest) != frame:
        raise damaged(name)
    return Parts((memoryview(data)[: len(data) - length],), manifest, data)


def contract_length(seal: bytes) -> int | None:
    """Bytes of both entries by a file's last `SEAL_BYTES`; None when these are no seal.

    Raises:
        ValueError: They are a seal whose number was altered.
    """
    blank = _entry(b"edgewright_seal", _seal(0, b""))
    at = len(blank) - _LENGTH_DIGITS - 65
    return int(seal[at : at + _LENGTH_DIGITS]) if seal[:at] == blank[:at] else None


def canonical(payload: bytes) -> bytes:
    """The payload as it is hashed: a model without an earlier contract."""
    try:
        parts = split(payload, "model")
    except ArtifactError:
        return payload
    return payload if parts is None else parts.payload


def graph_of(program: bytes, name: str, first: bool) -> bytes:
    """The model of one of the file's graphs: the file itself for the first, which engines read so."""
    if first:
        return program
    from sdk.artifact.onnx_graphs import model_of  # few artifacts have several

    return model_of(program, name)


def _frame(manifest: bytes) -> bytes:
    first = _entry(b"edgewright", manifest)
    length = len(first) + len(_entry(b"edgewright_seal", _seal(0, b"")))
    return first + _entry(b"edgewright_seal", _seal(length, manifest))


def _seal(length: int, manifest: bytes) -> bytes:
    return f"{length:0{_LENGTH_DIGITS}d} {sha256(manifest)}".encode()


def _entry(key: bytes, value: bytes) -> bytes:
    return encoded(_METADATA_PROPS, encoded(_KEY, key) + encoded(_VALUE, value))


def _manifest_of(entry: bytes) -> bytes:
    """The value of the one entry; `split` compares the whole frame, so only lengths are read here."""
    _, at = _read_varint(entry, 1)
    key_length, at = _read_varint(entry, at + 1)
    length, at = _read_varint(entry, at + key_length + 1)
    if at + length != len(entry):
        raise ValueError("lengths disagree")
    return entry[at:]


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


SEAL_BYTES = len(_entry(b"edgewright_seal", _seal(0, b"")))
"""Length of the second entry, whatever it says."""
