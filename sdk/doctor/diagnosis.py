"""What an examination found, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sdk.machine import Machine
from sdk.machine.software import Software

DIAGNOSIS_VERSION = 1
OK, NOTE, PROBLEM = "ok", "note", "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What it is about, such as ``power mode``.
        severity: ``ok``; ``note``: it runs, slower or less surely than it could; ``problem``.
        text: What was found.
        fix: What to do about it, a sentence or a command; empty when it is ok.
    """

    subject: str
    severity: str
    text: str
    fix: str = ""


@dataclass(frozen=True)
class EngineState:
    """One engine.

    Attributes:
        name: As `runtimes.registry` calls it; TensorRT's two packages are two engines here.
        suffixes: What it opens.
        version: Of its package; None where it is not installed, or not known.
        installed: None: not known, because the files are another machine's.
        loads: Whether it could be imported in a process of its own; None: that was not tried.
        detail: A word on how it is used, or why it does not load.
        fix: How to install it.
    """

    name: str
    suffixes: tuple[str, ...]
    version: str | None
    installed: bool | None
    loads: bool | None
    detail: str
    fix: str


@dataclass(frozen=True)
class ArtifactState:
    """One artifact on this machine.

    Attributes:
        path: As it was given.
        runs: Whether it can run here; None: nothing speaks against it, but the engines of a recorded
            machine are not known.
        findings: Why.
    """

    path: str
    runs: bool | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Diagnosis:
    """All of it.

    Attributes:
        machine: The hardware and its state.
        software: What the system brings.
        python: Version of the Python that runs this; None for recorded files.
        engines: One for each engine.
        findings: About the machine.
        artifacts: Those that were asked for.
        suffixes: For each file ending whether this machine can run it; None: not known.
    """

    machine: Machine
    software: Software
    python: str | None
    engines: tuple[EngineState, ...]
    findings: tuple[Finding, ...]
    artifacts: tuple[ArtifactState, ...]
    suffixes: dict[str, bool | None]

    @property
    def holds(self) -> bool:
        """Whether nothing keeps any of the artifacts from running."""
        return all(artifact.runs is not False for artifact in self.artifacts)

    def to_dict(self) -> dict[str, Any]:
        """For JSON. Keys are the attributes' names and stay; new ones may come."""
        tree = asdict(self)
        tree["machine"] = self.machine.to_dict()
        tree["holds"] = self.holds
        return {"version": DIAGNOSIS_VERSION, **tree}
