"""Runs, versions and lineage in MLflow."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from export.command import _track
from export.pipeline import Exported
from export.recipe import Recipe
from runtimes import UsageError
from sdk.artifact import Artifact, Metric, Parity, read_artifact, write_artifact
from sdk.command import main
from train.tracking import PARENT, PAYLOAD, Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
ACCURACY = Metric("accuracy", 0.9, 0.85, 0.95, 100, "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: MLflow takes seconds to make its tables."""
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="module")
def tracker(folder: Path) -> Tracker:
    return Tracker(str(folder))


@pytest.fixture(scope="module")
def client(tracker: Tracker, folder: Path) -> MlflowClient:
    from mlflow import MlflowClient

    uri = f"sqlite:///{folder / 'mlflow.db'}"
    return MlflowClient(uri, uri)


def _artifact(light: Path, path: Path, parent: str | None, name: str) -> Artifact:
    given = read_artifact(light)
    evidence = replace(
        given.manifest.evidence, parent_sha256=parent, metrics=(ACCURACY,), parity=Parity(1e-6, 0.99, 100)
    )
    spec = replace(given.spec, name=name)
    return write_artifact(path, given.payload, replace(given.manifest, evidence=evidence, spec=spec))


def _run(client: MlflowClient, identity: str) -> dict[str, Any]:
    run = client.get_run(identity)
    return {
        "status": run.info.status,
        "params": run.data.params,
        "metrics": run.data.metrics,
        "tags": run.data.tags,
    }


def test_run_holds_parameters_and_a_metric_per_epoch(tracker: Tracker, client: MlflowClient) -> None:
    entries = [{"epoch": epoch, "val_loss": 1 / epoch, "seconds": 0.5} for epoch in (1, 2, 3)]
    with tracker.run("train it", {"lr": 0.1, "task_options": {"crop": None}, "long": "x" * 900}) as run:
        run.epoch_so_far(entries[0])
        for entry in entries:
            run.epoch(entry)
        run.metrics([ACCURACY])
    told = _run(client, run.identity)
    assert told["status"] == "FINISHED"
    assert told["params"] == {"lr": "0.1", "task_options.crop": "None", "long": "x" * 500}
    history = client.get_metric_history(run.identity, "val_loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)], "each once"
    assert (told["metrics"]["test_accuracy"], told["metrics"]["test_accuracy_low"]) == (0.9, 0.85)


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")], ids=["error", "interrupt"]
)
def test_run_that_ends_early_says_so(
    tracker: Tracker, client: MlflowClient, error: type[BaseException], status: str
) -> None:
    with pytest.raises(error), tracker.run("train it", {}) as run:
        raise error
    assert _run(client, run.identity)["status"] == status


def test_export_is_a_version_with_its_lineage(
    tracker: Tracker, client: MlflowClient, light_artifact: Path, tmp_path: Path
) -> None:
    with tracker.run("train it", {}) as trained:
        checkpoint = _artifact(light_artifact, tmp_path / "lineage.onnx", None, "lineage")
        assert trained.artifact(checkpoint) == "1"
    digest = checkpoint.manifest.payload_sha256
    exported = _artifact(light_artifact, tmp_path / "lineage_int8.onnx", digest, "lineage")
    exported = replace(exported, manifest=replace(exported.manifest, payload_sha256="b" * 64))
    _track(tracker, [Exported("onnx", exported)], Recipe())
    (second,) = client.search_model_versions("name = 'lineage' and version_number = 2")
    assert second.tags[PARENT] == digest
    assert second.tags[PAYLOAD] == "b" * 64
    told = _run(client, second.run_id)
    assert told["tags"]["mlflow.parentRunId"] == trained.identity
    assert told["metrics"]["agreement"] == 0.99
    assert told["metrics"]["test_accuracy"] == 0.9
    assert told["params"]["target"] == "onnx"
    assert told["params"]["recipe.precision"] == "fp32"
    stored = Path(client.download_artifacts(second.run_id, "model/lineage_int8.onnx", str(tmp_path)))
    assert read_artifact(stored).manifest.payload_sha256 == digest, "the very file"
    names = {entry.path for entry in client.list_artifacts(second.run_id)}
    assert names == {"model", "spec.json", "evidence.json"}


def test_train_command_tracks(
    folder: Path, client: MlflowClient, colour_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [
        "train",
        "product",
        "--data",
        str(colour_folder),
        "--out",
        str(tmp_path / "run"),
        "--threads",
        "1",
    ]
    assert (
        main([*words, "--epochs", "2", "--batch-size", "4", "--device", "cpu", "--tracking", str(folder)])
        == 0
    )
    assert "tracked: version 1 of product" in capfd.readouterr().out
    (version,) = client.search_model_versions("name = 'product'")
    told = _run(client, version.run_id)
    assert told["status"] == "FINISHED"
    assert told["params"]["epochs"] == "2"
    assert [point.step for point in client.get_metric_history(version.run_id, "train_loss")] == [1, 2]
    checkpoint = read_artifact(tmp_path / "run" / "product.safetensors")
    assert version.tags[PAYLOAD] == checkpoint.manifest.payload_sha256


def test_server_that_is_away_for_a_while_does_not_end_the_training(
    tracker: Tracker, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException

    def away(*_: Any, **__: Any) -> None:
        raise MlflowException("connection refused")

    with tracker.run("train it", {}) as run:
        with monkeypatch.context() as patched:
            patched.setattr(run._client, "log_batch", away)
            run.epoch_so_far({"epoch": 1, "val_loss": 0.5})
            with pytest.raises(UsageError, match="connection refused"):
                run.epoch({"epoch": 1, "val_loss": 0.5})
        run.epoch({"epoch": 1, "val_loss": 0.5})
    assert [point.value for point in client.get_metric_history(run.identity, "val_loss")] == [0.5]


@pytest.mark.parametrize("where", ["nothing://there", "sqlite:///{file}/some.db", "{file}"])
def test_tracking_that_cannot_be_used_is_one_line(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UsageError, match=r"^Option --tracking: got .*, which cannot be used") as caught:
        Tracker(where.format(file=tmp_path / "file"))
    assert "\n" not in str(caught.value)


def test_tracking_without_mlflow_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UsageError, match=r"pip install 'edgewright\[tracking\]'"):
        Tracker(str(tmp_path))


def test_tracking_of_folds_is_refused(colour_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "product", "--data", str(colour_folder), "--folds", "2", "--tracking", "x"]
    assert main(words) == 2
    assert "Option --tracking: got it with --folds" in capsys.readouterr().err
