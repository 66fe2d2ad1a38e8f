"""Runs, their artifacts and where these come from, told to MLflow (`--tracking`)."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import UsageError
from runtimes.errors import first_line
from sdk.artifact import Artifact, Metric
from sdk.codec import to_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "edgewright"
PAYLOAD, PARENT = "edgewright.payload_sha256", "edgewright.parent_sha256"
"""Tags of runs and of versions: an artifact's own hash, and that of the checkpoint it was made from."""
_LONGEST = 500
"""Characters of a value that every MLflow server takes."""
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
          "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}  # fmt: skip


class Tracker:
    """Writes to one MLflow tracking server or database.

    Args:
        where: A URI that MLflow knows (``http://…``, ``sqlite:///…``, ``databricks``), or a folder, which
            then holds a SQLite file and the artifacts.

    Raises:
        UsageError: MLflow is not installed, or cannot use `where`.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._folder = None if "://" in where or where == "databricks" else Path(where).absolute()
        uri = where
        with self.told():
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                uri = f"sqlite:///{self._folder / 'mlflow.db'}"
            self._client = _client(uri)
            self._experiment = self._find_experiment()

    @contextmanager
    def run(self, name: str, params: Mapping[str, Any]) -> Iterator[TrackedRun]:
        """A run, from here to the end of the with-block; one that ends with an error is marked as failed.

        Args:
            name: For people.
            params: What it was told; nested ones get dotted names.
        """
        from mlflow.entities import Param

        flat = {key: str(value)[:_LONGEST] for key, value in _flat(params).items()}
        with self.told():
            identity = self._client.create_run(self._experiment, run_name=name).info.run_id
            told = [Param(key, value) for key, value in flat.items()]
            for at in range(0, len(told), 100):  # the most that a server takes at a time
                self._client.log_batch(identity, params=told[at : at + 100])
        try:
            yield TrackedRun(self, self._client, identity)
        except KeyboardInterrupt:
            self._end(identity, "KILLED")
            raise
        except BaseException:
            self._end(identity, "FAILED")
            raise
        self._end(identity, "FINISHED")

    def run_of(self, payload_sha256: str) -> str | None:
        """The newest run that made an artifact, by its hash."""
        wanted = f"tags.`{PAYLOAD}` = '{payload_sha256}'"
        with self.told():
            found = self._client.search_runs([self._experiment], wanted, max_results=1)
        return found[0].info.run_id if found else None

    def _end(self, identity: str, status: str) -> None:
        with self.told():
            self._client.set_terminated(identity, status)

    def _find_experiment(self) -> str:
        there = self._client.get_experiment_by_name(EXPERIMENT)
        if there is not None:
            return str(there.experiment_id)
        place = None if self._folder is None else (self._folder / "artifacts").as_uri()
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=place))

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn what MLflow raises into one line."""
        try:
            yield
        except UsageError:
            raise
        except Exception as error:
            known = type(error).__module__.startswith(("mlflow", "sqlalchemy", "requests"))
            if not known and not isinstance(error, OSError):
                raise
            raise UsageError(
                "Option --tracking",
                got=f"{self._where!r}, which cannot be used ({first_line(error)[:_LONGEST]})",
                expected="an MLflow server's address, a database, or a folder",
                fix="Check it, and that the server runs.",
            ) from error


class TrackedRun:
    """A run that MLflow knows of; see `Tracker.run`."""

    def __init__(self, tracker: Tracker, client: MlflowClient, identity: str) -> None:
        self.identity = identity
        self._tracker, self._client = tracker, client
        self._epochs: set[int] = set()

    def epoch(self, entry: Mapping[str, Any]) -> None:
        """An epoch's figures, once: of a run that was resumed, earlier ones come again."""
        from mlflow.entities import Metric as Logged

        step = int(entry["epoch"])
        if step in self._epochs:
            return
        numbers = {name: float(value) for name, value in entry.items() if name != "epoch"}
        with self._tracker.told():
            logged = [Logged(name, value, _now_ms(), step) for name, value in numbers.items()]
            self._client.log_batch(self.identity, metrics=logged)
        self._epochs.add(step)

    def epoch_so_far(self, entry: Mapping[str, Any]) -> None:
        """As `epoch`, while training: a server that is away meanwhile does not end it, for at the end all
        epochs are told that were not.
        """
        with contextlib.suppress(UsageError):
            self.epoch(entry)

    def metrics(self, metrics: Sequence[Metric]) -> None:
        """What was measured at the end, with the 95 % intervals."""
        with self._tracker.told():
            for metric in metrics:
                for suffix, value in (("", metric.value), ("_low", metric.low), ("_high", metric.high)):
                    self._client.log_metric(self.identity, f"{metric.split}_{metric.name}{suffix}", value)

    def figures(self, figures: Mapping[str, float]) -> None:
        """Other numbers."""
        with self._tracker.told():
            for name, value in figures.items():
                self._client.log_metric(self.identity, name, value)

    def artifact(self, artifact: Artifact, tags: Mapping[str, str] | None = None) -> str:
        """Store an artifact with its spec and its evidence, and register it as a version of its model.

        Returns:
            The version's number.
        """
        manifest = artifact.manifest
        evidence = manifest.evidence
        lineage = {
            PAYLOAD: manifest.payload_sha256,
            PARENT: evidence.parent_sha256 or "",
            "edgewright.task": manifest.spec.task,
            "edgewright.file": artifact.path.name,
            "edgewright.status": evidence.status,
            "edgewright.precision": str(evidence.precision.get("requested", "")),
            **(tags or {}),
        }
        parent = self._tracker.run_of(evidence.parent_sha256) if evidence.parent_sha256 else None
        if parent is not None and parent != self.identity:
            lineage["mlflow.parentRunId"] = parent
        with self._tracker.told():
            for name, value in lineage.items():
                self._client.set_tag(self.identity, name, value[:_LONGEST])
            self._client.log_artifact(self.identity, str(artifact.path), "model")
            for name, told in (("spec", _spec(artifact)), ("evidence", to_json(evidence))):
                self._client.log_text(self.identity, json.dumps(told, indent=2), f"{name}.json")
            return self._register(manifest.spec.name, artifact.path.name, lineage)

    def _register(self, name: str, file: str, tags: Mapping[str, str]) -> str:
        if not self._client.search_registered_models(f"name = '{name}'", max_results=1):
            self._client.create_registered_model(name)
        root = self._client.get_run(self.identity).info.artifact_uri
        made = self._client.create_model_version(
            name, f"{root}/model/{file}", run_id=self.identity, tags=dict(tags)
        )
        return str(made.version)


def add_tracking(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says where."""
    parser.add_argument(
        "--tracking",
        metavar="URI",
        help="tell MLflow: a server's address, a database (sqlite:///…), or a folder",
    )


def _client(uri: str) -> MlflowClient:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):  # which tell of every table that they make
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise UsageError(
            "Option --tracking",
            got=f"no usable package mlflow ({first_line(error)})",
            expected="it, to track runs",
            fix="Run: pip install 'edgewright[tracking]'.",
        ) from error
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _spec(artifact: Artifact) -> dict[str, Any]:
    spec = artifact.spec
    return {**spec.to_json(), "input": spec.input.described(), "output": spec.output.described()}


def _flat(params: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = value
    return flat


def _now_ms() -> int:
    return int(1000 * time.time())
