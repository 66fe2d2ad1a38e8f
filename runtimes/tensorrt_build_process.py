"""Building an engine in a process of its own, which holds TensorRT and nothing else.

Large builds have crashed in processes that had torch and ONNX Runtime loaded; here a crash of the
builder is an error message, not the end of the caller.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtimes import errors
from runtimes.base import Dim, TensorInfo
from runtimes.errors import EdgewrightError, EngineError
from runtimes.tensorrt_builder import BuiltEngine, build_engine
from runtimes.tensorrt_layers import Layer
from runtimes.tensorrt_options import BuildOptions

DEFAULT_TIMEOUT_S = 3600.0
_MODEL, _OPTIONS, _PLAN, _RESULT, _ERROR = "model.onnx", "options.json", "plan", "result.json", "error.json"


def build_in_subprocess(
    onnx_bytes: bytes, options: BuildOptions, *, timeout_s: float = DEFAULT_TIMEOUT_S
) -> BuiltEngine:
    """Build a TensorRT engine in a child process, which ends when this call does.

    Args:
        onnx_bytes: A complete ONNX model, weights included.
        options: What to build.
        timeout_s: After how many seconds the child is killed.

    Raises:
        EdgewrightError: What `build_engine` raises, as it raised it.
        EngineError: The child crashed or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="edgewright-build-") as name:
        folder = Path(name)
        (folder / _MODEL).write_bytes(onnx_bytes)
        (folder / _OPTIONS).write_text(json.dumps(asdict(options)))
        status, output = _run_child(folder, timeout_s)
        if (folder / _ERROR).exists():
            raise _error_from(json.loads((folder / _ERROR).read_text()))
        if status != 0 or not (folder / _RESULT).exists():
            raise _crashed(status, output)
        return built_from((folder / _PLAN).read_bytes(), json.loads((folder / _RESULT).read_text()))


def _run_child(folder: Path, timeout_s: float) -> tuple[int, str]:
    rooms = str(Path(errors.__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (rooms, os.environ.get("PYTHONPATH"))))
    child = subprocess.Popen(
        [sys.executable, "-m", __name__, str(folder)],
        stdin=subprocess.PIPE,  # held open: its end tells the child that this process is gone
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C reaches the caller alone, who then ends the child
    )
    assert child.stdin is not None
    assert child.stdout is not None
    lines: list[bytes] = []
    reader = threading.Thread(target=lines.extend, args=(child.stdout,), daemon=True)
    reader.start()
    try:
        status = child.wait(timeout_s)
        reader.join()
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            "TensorRT build",
            got=f"no end after {timeout_s:g} s",
            expected="an engine by then",
            fix="Free the machine, or allow more time.",
        ) from error
    finally:
        child.kill()  # harmless once it has ended
        child.wait()
        child.stdin.close()
        reader.join()
        child.stdout.close()
    return status, b"".join(lines).decode(errors="replace")


def _crashed(status: int, output: str) -> EngineError:
    how = f"exit status {status}"
    if status < 0:
        how = f"signal {signal.Signals(-status).name}"
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "nothing printed")
    return EngineError(
        "TensorRT build",
        got=f"a builder that ended by {how} ({last})",
        expected="an engine",
        fix="Check memory and driver, or use the .onnx artifact.",
    )


def _error_from(data: dict[str, str]) -> EdgewrightError:
    kind: type[EdgewrightError] = getattr(errors, data.pop("kind"))
    return kind(data.pop("subject"), **data)


def record_of(built: BuiltEngine) -> dict[str, Any]:
    """All of a built engine but its plan, for JSON."""
    record = asdict(built)
    del record["plan"]
    return record


def built_from(plan: bytes, record: dict[str, Any]) -> BuiltEngine:
    """The engine again from its plan and what `record_of` gave, through JSON or not."""
    data = dict(record)
    inputs = tuple(
        TensorInfo(i["name"], i["dtype"], tuple(Dim(**e) if isinstance(e, dict) else e for e in i["shape"]))
        for i in data.pop("inputs")
    )
    layers = tuple(Layer(**layer) for layer in data.pop("layers"))
    targets, kept = (tuple(data.pop(name)) for name in ("targets", "kept"))
    return BuiltEngine(plan=plan, inputs=inputs, layers=layers, targets=targets, kept=kept, **data)


def _options_from(data: dict[str, Any]) -> BuildOptions:
    shapes = {name: tuple(map(tuple, shapes)) for name, shapes in data.pop("shapes").items()}
    capabilities = tuple(data.pop("compute_capabilities"))
    kept = tuple(data.pop("kept"))
    return BuildOptions(shapes=shapes, compute_capabilities=capabilities, kept=kept, **data)  # type: ignore[arg-type]


def _end_with_parent() -> None:
    os.read(0, 1)  # not sys.stdin: its lock would abort the interpreter's own orderly end
    os._exit(1)


def _child(folder: Path) -> int:
    """Build what `build_in_subprocess` left in `folder`, and leave the result or the error there."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        options = _options_from(json.loads((folder / _OPTIONS).read_text()))
        built = build_engine((folder / _MODEL).read_bytes(), options)
    except EdgewrightError as error:
        fields = {name: getattr(error, name) for name in ("subject", "got", "expected", "fix")}
        (folder / _ERROR).write_text(json.dumps({"kind": type(error).__name__, **fields}))
        return 1
    (folder / _PLAN).write_bytes(built.plan)
    (folder / _RESULT).write_text(json.dumps(record_of(built)))
    return 0


if __name__ == "__main__":
    sys.exit(_child(Path(sys.argv[1])))
