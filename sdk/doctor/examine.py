"""The whole examination."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from runtimes import UsageError
from sdk.doctor.artifact_findings import examine_artifact, suffixes_here
from sdk.doctor.diagnosis import Diagnosis
from sdk.doctor.engines import find_engines
from sdk.doctor.machine_findings import machine_findings
from sdk.machine import read_machine
from sdk.machine.files import Files
from sdk.machine.software import read_software

HERE = Path("/")


def examine(artifacts: Sequence[Path] = (), root: Path = HERE, *, deep: bool = False) -> Diagnosis:
    """Find out what a machine is, what it can run, and what to do about the rest.

    Args:
        artifacts: Files to hold against it.
        root: `/`, or a folder of files recorded from another machine; its engines are then not known.
        deep: Import each engine in a process of its own.

    Raises:
        UsageError: `root` is no folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageError(
            "Option --root",
            got=repr(str(root)),
            expected="a folder of recorded files",
            fix="Copy /etc/nv_tegra_release, /proc/cpuinfo and the like there, under their own paths.",
        )
    here = root.resolve() == HERE
    files, machine, software = Files(root), read_machine(root), read_software(root)
    engines = find_engines(machine, software, here=here, deep=deep)
    return Diagnosis(
        machine,
        software,
        platform.python_version() if here else None,
        engines,
        machine_findings(files, machine, software, engines, here),
        tuple(examine_artifact(Path(path), machine, engines, files, here) for path in artifacts),
        suffixes_here(machine, engines, here),
    )
