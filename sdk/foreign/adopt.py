"""Give a model of another tool a contract: one file, with golden samples, that every command takes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtimes import UsageError
from sdk.artifact import Artifact, write_artifact
from sdk.foreign.opening import imported_evidence, read_foreign
from sdk.golden import make_golden_samples
from sdk.predictor import Predictor
from sdk.spec import Spec

GOLDEN_SAMPLES = 8
TOLERANCE = 1e-3
"""Of what `verify` measures (`OutputKind.difference`): other machines add in another order."""


def adopt(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    items: Sequence[Any],
    spec: Spec | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    **runtime_options: Any,
) -> Artifact:
    """Write a foreign file with its contract, and with what it answers here as golden samples.

    The samples prove nothing about the model's accuracy. They tell whether another machine, or another
    version of the engine, gives the same answers as this one.

    Args:
        path: An `.onnx`, `.engine` or `.trt` that another tool wrote.
        out: The file to write, with the same suffix (`.trt` and `.engine` are one).
        items: Real inputs, at least one; of more than `GOLDEN_SAMPLES`, so many are taken, evenly spread.
        spec: As for `Predictor`.
        overwrite: Replace `out` where it is there already.
        **runtime_options: As for `Predictor`.

    Raises:
        UsageError: There are no items, weights lie in files beside it, or `out` is there or of another kind.
        EdgewrightError: As `Predictor`.
    """
    out = Path(out)
    file = read_foreign(path, with_spec=spec is not None)
    _require_writable(file.path, out, overwrite)
    if file.external:
        raise UsageError(
            f"ONNX file {file.path.name!r}",
            got="weights in files beside it",
            expected="one file",
            fix="Save it with onnx.save(onnx.load(FILE), NEW, save_as_external_data=False).",
        )
    if not len(items):
        raise UsageError("Items", got="none", expected="real inputs", fix="Pass some with --data.")
    last, most = len(items) - 1, min(GOLDEN_SAMPLES, len(items))
    rows = [round(at * last / max(1, most - 1)) for at in range(most)]
    with Predictor(file.path, spec=spec, **runtime_options) as predictor:
        samples = make_golden_samples(predictor.spec, [items[row] for row in rows], predictor.outputs)
        evidence = imported_evidence(file, TOLERANCE)
        manifest = replace(predictor.manifest, samples=samples, evidence=evidence)
    return write_artifact(out, file.payload, manifest)


def _require_writable(path: Path, out: Path, overwrite: bool) -> None:
    kinds = {".trt": ".engine"}
    ours, theirs = (p.suffix.lower() for p in (out, path))
    if kinds.get(ours, ours) != kinds.get(theirs, theirs):
        raise UsageError(f"Output {out.name!r}", got=f"{ours or 'no suffix'}", expected=theirs,
                         fix="Keep the suffix.")  # fmt: skip
    if out.exists() and (not overwrite or out.resolve() == path.resolve()):
        raise UsageError(f"Output {out.name!r}", got="a file that is there already", expected="a new name",
                         fix="Choose another, or say --overwrite (never for the model itself).")  # fmt: skip
