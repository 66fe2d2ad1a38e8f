"""Say what this machine is, which artifacts it can run, and why not the others.

Reads system files and package metadata; imports no engine unless --deep says so. Exit code 0: every artifact
that was named can run here; 1: one cannot, and the reason with its fix is printed. With --root it reads the
recorded files of another machine, whose Python packages are then not known.

Examples:
  edgewright doctor
  edgewright doctor product.onnx product.trt
  edgewright doctor --json > machine.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdk.doctor import Diagnosis, EngineState, Finding

_WIDTH = 10
_CAN = {True: "can run", False: "cannot run", None: "nothing speaks against it"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "artifacts", metavar="ARTIFACT", nargs="*", type=Path, help="files to hold against this machine"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of lines")
    parser.add_argument(
        "--deep", action="store_true", help="import each installed engine in a process of its own (seconds)"
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        type=Path,
        default=Path("/"),
        help="folder of files recorded from another machine, under their own paths",
    )


def run(args: argparse.Namespace) -> int:
    """Examine, print, and tell by the exit code whether all named artifacts can run."""
    from sdk.doctor import examine

    diagnosis = examine(args.artifacts, args.root, deep=args.deep)
    print(json.dumps(diagnosis.to_dict(), indent=2) if args.json else _as_text(diagnosis))
    return 0 if diagnosis.holds else 1


def _as_text(diagnosis: Diagnosis) -> str:
    lines = [f"{name:<{_WIDTH}} {text}" for name, text in _machine_rows(diagnosis)]
    lines += ["", *(f"{'engine':<{_WIDTH}} {_engine(engine)}" for engine in diagnosis.engines)]
    lines += ["", *_findings(diagnosis.findings)]
    if diagnosis.artifacts:
        for artifact in diagnosis.artifacts:
            lines += ["", f"{artifact.path}: {_CAN[artifact.runs]}", *_findings(artifact.findings, "  ")]
    else:
        lines += ["", *_suffixes(diagnosis.suffixes)]
    return "\n".join(lines)


def _machine_rows(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    machine, software = diagnosis.machine, diagnosis.software
    cpu = machine.cpu
    where = [f"in {machine.container}"] * bool(machine.container) + ["virtual"] * machine.virtual
    rows = [
        ("machine", ", ".join([machine.name, machine.architecture, *where])),
        ("system", f"{machine.system}, Linux {machine.kernel}"),
        ("CPU", f"{cpu.model}, {cpu.usable_cores} of {cpu.cores} cores, {' '.join(cpu.features)}"),
    ]
    if cpu.governor or cpu.max_mhz:
        clock = f"{max(cpu.frequencies_mhz, default=0):.0f} of {cpu.max_mhz or 0:.0f} MHz"
        rows.append(("clock", f"{clock}, governor {cpu.governor}"))
    swap = f"{machine.swap_bytes / 1e9:.1f} GB swap" if machine.swap_bytes else "no swap"
    rows.append(("memory", f"{machine.memory_bytes / 1e9:.1f} GB, {swap}"))
    if machine.jetson:
        jetson = machine.jetson
        rows.append(
            ("Jetson", f"JetPack {jetson.jetpack or 'unknown'}, L4T {jetson.l4t}, mode {jetson.power_mode}")
        )
    for gpu in machine.gpus:
        capability = f", compute capability {gpu.compute_capability}" if gpu.compute_capability else ""
        rows.append(("GPU", f"{gpu.name}, driver {gpu.driver or 'none'}{capability}"))
    if software.cuda or software.tensorrt:
        tensorrt = f"TensorRT {software.tensorrt or 'none'}"
        rows.append(("CUDA", f"{software.cuda or 'none'}, {tensorrt} (the system's)"))
    if machine.temperatures_c:
        hottest = max(machine.temperatures_c, key=lambda name: machine.temperatures_c[name])
        rows.append(("hottest", f"{machine.temperatures_c[hottest]:.0f} °C ({hottest})"))
    python = diagnosis.python or software.python
    return [*rows, ("Python", python or "unknown")]


def _engine(engine: EngineState) -> str:
    opens = " ".join(engine.suffixes)
    detail = f" ({engine.detail})" if engine.detail else ""
    if engine.installed is False:
        return f"{engine.name}: not installed, opens {opens}: {engine.fix}"
    state = {True: ", loads", False: ", DOES NOT LOAD", None: ""}[engine.loads]
    return f"{engine.name} {engine.version or ''}".strip() + f": opens {opens}{state}{detail}"


def _suffixes(suffixes: dict[str, bool | None]) -> list[str]:
    lines = []
    for state, words in _CAN.items():
        which = " ".join(suffix for suffix, runs in suffixes.items() if runs is state)
        lines += [f"{'artifacts':<{_WIDTH}} {words}: {which}"] * bool(which)
    return lines


def _findings(findings: tuple[Finding, ...], indent: str = "") -> list[str]:
    lines = []
    for finding in findings:
        lines.append(f"{indent}{finding.severity:<{_WIDTH}} {finding.subject}: {finding.text}")
        lines += [f"{indent}{'':<{_WIDTH}}   fix: {finding.fix}"] * bool(finding.fix)
    return lines
