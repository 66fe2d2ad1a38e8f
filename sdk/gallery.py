"""A gallery of labelled vectors, and what of it an embedding is most like. Needs numpy alone."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes import Array, ArtifactError, InputError, UsageError
from runtimes.errors import first_line
from sdk.atomic_write import atomic_write
from sdk.outputs.embedding import EmbeddingOutput, unit_length
from sdk.results.embedding import Embedding

if TYPE_CHECKING:
    from sdk.artifact import Artifact

SUFFIX = ".npz"
GALLERY_VERSION = 1
_UNIT_TOLERANCE = 1e-3
"""How far the length of a stored vector may be from one: a damaged file is, rounding is not."""


@dataclass(frozen=True)
class Match:
    """An entry of a gallery that an embedding is like.

    Attributes:
        label: Of the entry.
        similarity: Cosine between the two, -1..1.
        index: Which entry, in the order in which they were added.
    """

    label: str
    similarity: float
    index: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {"label": self.label, "similarity": self.similarity, "index": self.index}


class Gallery:
    """Labelled vectors of one model. A label may have any number of them.

    Vectors of different models do not compare; those of one checkpoint's ``.onnx``, ``.pte`` and ``.trt`` do.

    Args:
        dimensions: Numbers in a vector.
        model: Which model they are of (see `model_of`), so that another one's are refused; None for any.
    """

    def __init__(self, dimensions: int, model: str | None = None) -> None:
        self.dimensions = dimensions
        self.model = model
        self._labels: list[str] = []
        self._rows: list[Array] = []
        self._stacked = np.empty((0, dimensions), np.float32)

    @classmethod
    def of(cls, artifact: Artifact) -> Gallery:
        """An empty gallery for what an artifact gives: ``Gallery.of(predictor.artifact)``.

        Raises:
            UsageError: It gives no vectors.
        """
        return cls(_embedding_output(artifact).dimensions, model_of(artifact))

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each entry."""
        return tuple(self._labels)

    @property
    def vectors(self) -> Array:
        """The entries, float32 (N, dimensions) of length one."""
        if len(self._stacked) < len(self._rows):
            self._stacked = np.stack(self._rows)
        return self._stacked

    def add(self, label: str, embedding: Embedding | Array) -> None:
        """Add one entry.

        Args:
            label: What it shows.
            embedding: A result of `Predictor.predict`, or a vector (dimensions,) of any length.

        Raises:
            InputError: It has other dimensions, no direction, or numbers that are not finite.
        """
        self._rows.append(self._vector(embedding))
        self._labels.append(str(label))

    def match(
        self, embedding: Embedding | Array, *, top_k: int = 5, threshold: float | None = None
    ) -> tuple[Match, ...]:
        """The entries most like an embedding, best first; equals in the order in which they were added.

        Args:
            embedding: As for `add`.
            top_k: How many, at most.
            threshold: Least cosine; None takes any. Training reports one as ``threshold`` in its
                ``metrics.json``.

        Raises:
            InputError: The embedding cannot be compared.
            UsageError: `top_k` is below 1.
        """
        if top_k < 1:
            raise UsageError("Option 'top_k'", got=str(top_k), expected="at least 1", fix="Correct it.")
        similarities = self.vectors @ self._vector(embedding)
        order = np.argsort(-similarities, kind="stable")[:top_k].tolist()
        found = (Match(self._labels[at], float(similarities[at]), at) for at in order)
        return tuple(match for match in found if threshold is None or match.similarity >= threshold)

    def require_model(self, artifact: Artifact) -> None:
        """Refuse an artifact whose vectors do not compare with these.

        Raises:
            UsageError: It is of another model, or gives no vectors.
        """
        dimensions = _embedding_output(artifact).dimensions
        if dimensions != self.dimensions or self.model not in (None, model_of(artifact)):
            raise UsageError(
                f"Artifact {artifact.path.name!r}",
                got=f"another model ({dimensions} dimensions, SHA-256 {model_of(artifact)[:12]}…)",
                expected=f"the gallery's ({self.dimensions} dimensions, SHA-256 {(self.model or '')[:12]}…)",
                fix="Make the gallery again with this model.",
            )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it as an ``.npz`` without pickle: ``version``, ``model``, ``labels`` and ``vectors``.

        Raises:
            UsageError: The name ends otherwise, or the folder cannot be written to.
        """
        path = _require_suffix(Path(path))
        buffer = io.BytesIO()
        np.savez(
            buffer,
            version=np.int64(GALLERY_VERSION),
            model=np.str_(self.model or ""),
            labels=np.array(self._labels, np.str_),
            vectors=self.vectors,
        )
        return atomic_write(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Gallery:
        """Read what `save` wrote. Nothing in the file is run.

        Raises:
            ArtifactError: It is not there, is no gallery, or is damaged.
            UsageError: The name ends otherwise.
        """
        path = _require_suffix(Path(path))
        try:
            # From bytes: where it is no whole zip, numpy would leave the file open.
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                version, model, labels, vectors = (file[k] for k in ("version", "model", "labels", "vectors"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise _no_gallery(path, first_line(error)) from error
        _require_whole(path, version, model, labels, vectors)
        gallery = cls(vectors.shape[1], str(model) or None)
        gallery._labels, gallery._rows, gallery._stacked = labels.tolist(), list(vectors), vectors
        return gallery

    def _vector(self, embedding: Embedding | Array) -> Array:
        vector = np.asarray(embedding.vector if isinstance(embedding, Embedding) else embedding, np.float32)
        fits = vector.shape == (self.dimensions,)
        if not fits or not np.isfinite(vector).all() or not vector.any():
            raise InputError(
                "Embedding",
                got="zeros, or numbers that are not finite" if fits else f"an array {vector.shape}",
                expected=f"a vector ({self.dimensions},) of finite numbers that are not all zero",
                fix="Use the result of the model that the gallery was made with.",
            )
        unit: Array = unit_length(vector[None])[0]
        return unit


def model_of(artifact: Artifact) -> str:
    """SHA-256 of the weights behind an artifact: its checkpoint's, or its own where it is one."""
    parent = artifact.manifest.evidence.parent_sha256
    if artifact.suffix == ".safetensors" or parent is None:
        return artifact.manifest.payload_sha256
    return parent


def _embedding_output(artifact: Artifact) -> EmbeddingOutput:
    output = artifact.spec.output
    if not isinstance(output, EmbeddingOutput):
        raise UsageError(
            f"Artifact {artifact.path.name!r}",
            got=f"a model of task {artifact.spec.task!r}, which gives no vectors",
            expected="one of task 'embedding'",
            fix="Train one with `edgewright train embedding`.",
        )
    return output


def _require_suffix(path: Path) -> Path:
    if path.suffix != SUFFIX:
        raise UsageError(f"Gallery {path.name!r}", got=f"the suffix {path.suffix!r}", expected=SUFFIX,
                         fix="Name it so.")  # fmt: skip
    return path


def _require_whole(path: Path, version: Array, model: Array, labels: Array, vectors: Array) -> None:
    if version.shape != () or version.dtype.kind != "i" or int(version) != GALLERY_VERSION:
        raise _no_gallery(path, f"version {version!s}")
    fits = (
        model.shape == ()
        and model.dtype.kind == labels.dtype.kind == "U"
        and vectors.dtype == np.float32
        and vectors.ndim == 2
        and labels.shape == vectors.shape[:1]
    )
    if not fits:
        raise _no_gallery(path, f"labels {labels.shape} and vectors {vectors.dtype} {vectors.shape}")
    # Written so that NaN fails.
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    if not (np.abs(lengths - 1.0) <= _UNIT_TOLERANCE).all():
        raise _no_gallery(path, "vectors that are not of length one")


def _no_gallery(path: Path, got: str) -> ArtifactError:
    return ArtifactError(
        f"Gallery {path.name!r}",
        got=got,
        expected=f"a gallery of version {GALLERY_VERSION}",
        fix="Make it again with `edgewright gallery make`.",
    )
