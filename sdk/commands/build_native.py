"""Compile the small library through which .pte opens without torch.

It joins Python to the C++ runtime in the executorch package. It needs that package and a C++ compiler, takes
seconds and downloads nothing. Predictor then uses the library by itself; without it .pte opens through
torch, which takes seconds and some 700 MB. Run it again after executorch was updated.

Examples:
  edgewright build-native
  edgewright build-native --out /opt/edgewright      and set EDGEWRIGHT_NATIVE=/opt/edgewright
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="folder for the library (default: $EDGEWRIGHT_NATIVE, else this Python environment, else the "
        "user's cache)",
    )
    parser.add_argument("--compiler", metavar="CXX", help="default: $CXX, else c++, g++ or clang++")
    parser.add_argument(
        "--if-possible",
        action="store_true",
        help="where it cannot be built, say why and end with exit code 0",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a line")


def run(args: argparse.Namespace) -> int:
    """Compile, load once to see that it works, and say where it is."""
    from runtimes import EngineError
    from runtimes.executorch_build import build_shim

    begin = time.perf_counter()
    try:
        library = build_shim(args.out, args.compiler)
    except EngineError as error:
        if not args.if_possible:
            raise
        print(json.dumps({"library": None, "reason": str(error)}) if args.json else f"Not built. {error}")
        return 0
    seconds = time.perf_counter() - begin
    report = {
        "library": str(library),
        "size_bytes": library.stat().st_size,
        "build_s": round(seconds, 2),
    }
    print(json.dumps(report, indent=2) if args.json else f"{library}: built in {seconds:.1f} s")
    return 0
