"""Whether one artifact can run on a machine, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes import EdgewrightError
from sdk.doctor.diagnosis import NOTE, OK, PROBLEM, ArtifactState, EngineState, Finding
from sdk.doctor.engines import TENSORRT, TENSORRT_RTX, cuda_binding, extra_of, too_old
from sdk.doctor.packages import release, supported_range, within
from sdk.machine import Gpu, Machine
from sdk.machine.files import Files
from sdk.machine.gpus import capability_of

if TYPE_CHECKING:
    from sdk.artifact import Artifact

NETWORKS = "edgewright.networks"
COPIES = 2
"""An engine keeps its own copy of a program beside the file's bytes while it opens it."""
_ENGINE_OF = {".onnx": "onnxruntime", ".pte": "executorch", ".safetensors": "torch"}
_CURRENT = "CURRENT"


def examine_artifact(
    path: Path, machine: Machine, engines: tuple[EngineState, ...], files: Files, here: bool
) -> ArtifactState:
    """Read one artifact, and hold it against the machine.

    Args:
        path: Of the artifact, here.
        machine: Where it is to run.
        engines: States of the engines there.
        files: Of that machine.
        here: Whether this process runs on it.
    """
    from sdk.artifact import read_artifact

    try:
        artifact = read_artifact(path)
    except EdgewrightError as error:
        text = f"{error.subject}: got {error.got}, expected {error.expected}"
        return ArtifactState(str(path), False, (Finding("file", PROBLEM, text, error.fix),))
    by_name = {engine.name: engine for engine in engines}
    found: list[Finding] = list(_memory(artifact, files))
    if artifact.suffix in _ENGINE_OF:
        found += _engine(by_name[_ENGINE_OF[artifact.suffix]])
    else:
        found += _tensorrt(artifact, machine, by_name, here)
    if artifact.suffix == ".safetensors" and here:
        found += _network(artifact)
    if any(finding.severity == PROBLEM for finding in found):
        return ArtifactState(str(path), False, tuple(found))
    runs = True if here else None
    found.append(Finding("file", OK, "its hashes hold" + (", and its engine is installed" if here else "")))
    return ArtifactState(str(path), runs, tuple(found))


def suffixes_here(machine: Machine, engines: tuple[EngineState, ...], here: bool) -> dict[str, bool | None]:
    """For each file ending whether the machine can run such artifacts; None: not known."""
    by_name = {engine.name: engine for engine in engines}
    found = {suffix: _usable(by_name[name]) for suffix, name in _ENGINE_OF.items()}
    gpu = any(_drives(gpu) for gpu in machine.gpus)
    # TensorRT-RTX is for PCs: it has no kernels for the chips of a Jetson.
    states = [
        _usable(by_name[name]) for name in ((TENSORRT,) if machine.jetson else (TENSORRT, TENSORRT_RTX))
    ]
    tensorrt: bool | None = None if None in states and True not in states else any(states)
    if not gpu or (here and cuda_binding() is None):
        tensorrt = False
    return {**found, ".trt": tensorrt, ".engine": tensorrt}


def _usable(engine: EngineState) -> bool | None:
    return False if engine.loads is False or too_old(engine) else engine.installed


def _memory(artifact: Artifact, files: Files) -> Iterator[Finding]:
    words = files.fields("proc/meminfo").get("MemAvailable", "").split()
    free = int(words[0]) * 1024 if words and words[0].isdigit() else None
    needed = artifact.size_bytes * COPIES
    if free is not None and needed > free:
        yield Finding(
            "memory",
            PROBLEM,
            f"opening it takes about {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free",
            "Free memory, add swap, or use a smaller or quantised artifact.",
        )


def _engine(engine: EngineState) -> Iterator[Finding]:
    if engine.installed is False:
        yield Finding("engine", PROBLEM, f"{engine.name} is not installed", f"Run: {engine.fix}")
    elif engine.loads is False:
        yield Finding("engine", PROBLEM, f"{engine.name}: {engine.detail}", f"Run: {engine.fix}")
    elif too_old(engine):
        text = f"{engine.name} {engine.version} is older than 8.6, the oldest supported"
        yield Finding("engine", PROBLEM, text, "Install JetPack 6 or later.")
    elif engine.installed and engine.version:
        want = supported_range(engine.name, extra_of(engine.name))
        if want and not within(engine.version, want):
            text = f"{engine.name} {engine.version} is outside of the tested range {want}"
            yield Finding("engine", NOTE, text, f"Run: {engine.fix}")


def _network(artifact: Artifact) -> Iterator[Finding]:
    name = artifact.spec.network.name
    if name not in {entry.name for entry in entry_points(group=NETWORKS)}:
        text = f"no builder for its network {name!r} is installed"
        yield Finding("network", PROBLEM, text, f"Install the package that declares it in {NETWORKS!r}.")


def _tensorrt(
    artifact: Artifact, machine: Machine, engines: dict[str, EngineState], here: bool
) -> Iterator[Finding]:
    evidence = artifact.manifest.evidence
    rebuild = "Run `edgewright build MODEL.onnx` on this device."
    rtx = "tensorrt_rtx" in evidence.tools
    engine = engines[TENSORRT_RTX if rtx else TENSORRT]
    drivable = [gpu for gpu in machine.gpus if _drives(gpu)]
    if not drivable:
        text = "it needs an NVIDIA GPU with its driver, and there is none"
        yield Finding("GPU", PROBLEM, text, "Use the .onnx or .pte artifact on this machine.")
    else:
        yield from _made_for(evidence.facts, drivable, rebuild)
    yield from _engine(engine)
    if here and engine.installed and cuda_binding() is None:
        yield Finding("CUDA binding", PROBLEM, "none is installed", "pip install cuda-bindings")
    made = evidence.tools.get("tensorrt_rtx" if rtx else "tensorrt")
    if made and engine.version and release(made)[:3] != release(engine.version)[:3]:
        text = f"built with {made}, and here is {engine.version}: engines do not move between versions"
        yield Finding(engine.name, PROBLEM, text, rebuild)
    l4t = evidence.facts.get("l4t")
    if l4t and machine.jetson and l4t != machine.jetson.l4t:
        text = f"built under Jetson Linux {l4t}, and here is {machine.jetson.l4t}"
        yield Finding("Jetson Linux", NOTE, text, rebuild)
    if here and evidence.status != "proved":
        yield Finding("proof", NOTE, evidence.status, f"edgewright verify {artifact.path.name}")


def _made_for(facts: dict[str, object], gpus: list[Gpu], rebuild: str) -> Iterator[Finding]:
    """Holds the GPUs that an engine was built for against those that are there."""
    targets = facts.get("built_for")
    names = [str(name) for name in targets] if isinstance(targets, list) else []
    device = facts.get("device")
    have = {gpu.compute_capability for gpu in gpus if gpu.compute_capability}
    here = " and ".join(f"{gpu.name} (SM{(gpu.compute_capability or '?').replace('.', '')})" for gpu in gpus)
    ahead = [name for name in names if name != _CURRENT]
    if ahead and have and not {f"SM{capability.replace('.', '')}" for capability in have} & set(ahead):
        yield Finding("GPU", PROBLEM, f"built for {', '.join(ahead)}, and here is {here}", rebuild)
    if _CURRENT not in names or not isinstance(device, str):
        return
    made = capability_of(device)
    if made and have and made not in have:
        text = f"built on {device} (SM{made.replace('.', '')}), and here is {here}"
        yield Finding("GPU", PROBLEM, text, rebuild)
    elif device not in {gpu.name for gpu in gpus} and not made:
        text = f"built on {device}, and here is {here}: engines do not move between models"
        yield Finding("GPU", NOTE, text, rebuild)
    elif made and not any(gpu.name == device or gpu.pci_id is None for gpu in gpus):
        text = f"built on {device}, and here is {here}: slower than one built here, if it opens"
        yield Finding("GPU", NOTE, text, rebuild)


def _drives(gpu: Gpu) -> bool:
    """Whether CUDA can use it."""
    nvidia = (gpu.pci_id or "10de:").startswith("10de:")
    return gpu.driver is not None and nvidia
