"""Show artifacts in the browser: a page per model, built from its spec alone.

Takes artifacts (.onnx, .pte, .trt, .safetensors) or the name of a task, which means the newest artifacts of
that task below --search. Each model gets a page that fits it: classes with what speaks for them, boxes on
pictures, films and the webcam, masks, labels of texts as they are typed, forecasts, painted and invented
pictures, written and translated texts, similarities. Artifacts of one model share a page, and another
compares them on one input: answer, latency, agreement, size. Golden samples are there to be clicked.

Everything runs here, and only this machine can reach it unless --host says otherwise: there is no password.
Ends with Ctrl-C.

Examples:
  edgewright demo product
  edgewright demo product.onnx
  edgewright demo quickstart/product.onnx quickstart/product_int8.onnx quickstart/product.pte
  edgewright demo text.onnx gan.onnx --port 8000
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from runtimes import EngineMissingError
from sdk.commands.runtime_options import add_runtime_options, runtime_options

if TYPE_CHECKING:
    from demos.pages.subject import Subject


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shown", metavar="TASK|ARTIFACT", nargs="+", help="a task, or artifact files")
    parser.add_argument(
        "--search",
        metavar="DIR",
        type=Path,
        default=Path(),
        help="where a task's artifacts are (.)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one (7860)")
    parser.add_argument(
        "--spec",
        dest="foreign_spec",
        metavar="FILE",
        type=Path,
        help="for an .onnx of another tool: how it is fed and read",
    )
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    """Open everything, then serve until it is interrupted."""
    from demos.pages.address import listening_socket
    from demos.pages.found import artifacts_of_task
    from demos.pages.subject import open_subjects

    with ExitStack() as stack:
        # As Ctrl-C, so that the temporary folder goes then too.
        stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _interrupt))
        listener = stack.enter_context(listening_socket(args.host, args.port))
        files = [Path(word) for word in args.shown if _is_file(word)]
        options = runtime_options(args)
        subjects = open_subjects(files, stack, options=options)
        for task in (word for word in args.shown if not _is_file(word)):
            paths = artifacts_of_task(task, args.search)
            subjects += open_subjects(paths, stack, lenient=True, options=options)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgewright-demo-")))
        _prepare_gradio(folder)
        _serve(listener, args.host, subjects, folder)
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _is_file(word: str) -> bool:
    """A task's name has no suffix and no folder."""
    return bool(Path(word).suffix) or Path(word).name != word


def _prepare_gradio(folder: Path) -> None:
    """Nothing is sent or fetched, and uploads lie in a folder that goes when the demo ends.

    Raises:
        EngineMissingError: Gradio is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import gradio  # noqa: F401 - whether it is there
    except ImportError as error:
        raise EngineMissingError(
            "Library gradio",
            got="no usable package",
            expected="gradio, which shows the pages",
            fix="Run: pip install 'edgewright[demo]'.",
        ) from error


def _serve(listener: socket.socket, host: str, subjects: Sequence[Subject], folder: Path) -> None:
    from demos.pages.app import build_app
    from demos.pages.server import serve

    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}/"
    app = build_app(subjects, folder)
    try:
        serve(app, listener, lambda: print(f"Demo: {address}  (Ctrl-C ends it)", flush=True))
    except KeyboardInterrupt:
        print("Demo ended.")
