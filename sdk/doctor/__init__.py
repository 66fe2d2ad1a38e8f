"""What this machine is, what it can run and what to do about the rest. Imports no engine."""

from sdk.doctor.diagnosis import ArtifactState, Diagnosis, EngineState, Finding
from sdk.doctor.examine import examine

__all__ = ["ArtifactState", "Diagnosis", "EngineState", "Finding", "examine"]
