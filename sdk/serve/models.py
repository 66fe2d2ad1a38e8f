"""The models that a server has: each under its name, in a version that can be replaced while it answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from runtimes import ArtifactError
from sdk.predictor import Predictor
from sdk.serve.batching import Batcher, BatchRecord, Deliver
from sdk.serve.leases import Leases
from sdk.serve.options import Batching

VersionObserver = Callable[["Version", BatchRecord], None]


@dataclass(frozen=True, eq=False)
class Version:
    """One artifact, open and answering.

    Attributes:
        model: The model's name in addresses.
        label: First hex digits of the hash of the artifact's program.
        path: Its file.
        predictor: What runs it.
        batcher: Its queue.
        opened_utc: ISO 8601, to the second.
        leases: Of those who use the predictor past the queue.
    """

    model: str
    label: str
    path: Path
    predictor: Predictor
    batcher: Batcher
    opened_utc: str
    leases: Leases = field(default_factory=Leases)

    def close(self) -> None:
        """Answer what waits, then give the engine's memory back."""
        self.batcher.close()
        self.leases.close()
        self.predictor.close()


class ModelTable:
    """Models by name.

    Args:
        batching: How requests share calls.
        deliver: See `Batcher`.
        runtime: The engine's own options.
        observers: Told of every batch, with the version that ran it.
    """

    def __init__(
        self,
        batching: Batching,
        deliver: Deliver,
        runtime: Mapping[str, Any],
        observers: Sequence[VersionObserver] = (),
    ) -> None:
        self._batching, self._deliver, self._runtime = batching, deliver, dict(runtime)
        self._observers = tuple(observers)
        self._versions: dict[str, Version] = {}
        self._changing = threading.Lock()

    def __getitem__(self, name: str) -> Version:
        """The version that answers for a model now.

        Raises:
            KeyError: There is no such model.
        """
        return self._versions[name]

    def __iter__(self) -> Any:
        """The models' names, in the order in which they were opened."""
        return iter(tuple(self._versions))

    def __len__(self) -> int:
        return len(self._versions)

    def versions(self) -> list[Version]:
        """Those that answer now, in the order in which their models were opened."""
        return list(self._versions.values())

    def open(self, name: str, path: Path) -> Version:
        """Prove and open an artifact; of a model that is there, replace the version without losing a request.

        Everything that can fail is done before the old version stops taking work.

        Raises:
            EdgewrightError: The artifact cannot be opened, or does not give the answers it was proved with.
                The old version answers on.
        """
        with self._changing:
            version = self._opened(name, path)
            old = self._versions.get(name)
            self._versions[name] = version
        if old is not None:
            old.close()
        return version

    def close(self) -> None:
        """Answer everything that waits, and close all."""
        with self._changing:
            for name in list(self._versions):
                self._versions.pop(name).close()

    def _opened(self, name: str, path: Path) -> Version:
        predictor = Predictor(path, **self._runtime)
        try:
            require_proof(predictor)
        except BaseException:
            predictor.close()
            raise
        label = predictor.manifest.label
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        version: Version

        def observe(record: BatchRecord) -> None:
            for observer in self._observers:
                observer(version, record)

        batcher = Batcher(predictor, self._batching, self._deliver, (observe,))
        version = Version(name, label, path, predictor, batcher, now)
        return version


def require_proof(predictor: Predictor) -> None:
    """Replay the golden samples, which also warms the engine up; an artifact without any passes.

    Raises:
        ArtifactError: It does not give the answers that it was proved with.
    """
    if not predictor.manifest.samples:
        return
    found = predictor.verify()
    if not found.holds:
        raise ArtifactError(
            f"Artifact {predictor.artifact.path.name!r}",
            got=f"a difference of {found.worst_difference:.3g} on its {found.samples} golden samples",
            expected=f"at most {found.tolerance:.3g}, as it was proved",
            fix="Export it again; `edgewright verify` and `edgewright doctor` say more.",
        )
