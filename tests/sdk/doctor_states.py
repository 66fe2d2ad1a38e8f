"""Engine states and engine artifacts for tests of `edgewright doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdk.artifact import MANIFEST_VERSION, PROVED, Evidence, Manifest, write_artifact
from sdk.doctor import EngineState, Finding
from tests.light_artifact import light_spec

TRT = EngineState("tensorrt", (".trt", ".engine"), "10.3.0", True, None, "", "pip install tensorrt")
RTX = EngineState("tensorrt-rtx", (".trt", ".engine"), "1.7.1.116", True, None, "", "pip install rtx")
NO_ONNX = EngineState("onnxruntime", (".onnx",), None, False, None, "", "pip install 'edgewright[onnx]'")
STATES = (TRT, RTX, NO_ONNX)
ORIN = {"device": "Orin", "built_for": ["CURRENT"]}


def make_engine(path: Path, tools: dict[str, str], **facts: Any) -> Path:
    """A `.trt` artifact that says it was built with `tools`, for what `facts` say."""
    evidence = Evidence(PROVED, "2026-01-01T00:00:00Z", None, {}, 1e-3, None, (), tools, facts)
    write_artifact(path, b"ftrt any plan", Manifest(MANIFEST_VERSION, light_spec(), (), evidence, ""))
    return path


def texts(findings: tuple[Finding, ...], severity: str) -> dict[str, str]:
    return {finding.subject: finding.text for finding in findings if finding.severity == severity}
