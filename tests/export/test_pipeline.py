"""Export end to end: what is written is proved, and what is not proved is not written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from export.pipeline import export_artifacts
from export.recipe import Recipe
from runtimes import ArtifactError, DataError, DeviceError, EngineMissingError, ProofError, UsageError
from sdk import Predictor, read_artifact
from sdk.artifact import NOT_RUN, PROVED, write_artifact
from sdk.command import main
from tests.export.conftest import TEST_IMAGES

# Sums of float32 products in another order, through a trained network of eight layers, after softmax.
FP32_TOLERANCE = 1e-5
needs_rtx = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")


def pictures(data: Path, count: int) -> list[np.ndarray]:
    from tests.export.conftest import _read

    return list(_read(data / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)[:count])


@pytest.mark.parametrize("target", ["onnx", "pte"])
def test_export_writes_a_proved_artifact_with_the_same_answers(
    checkpoint: Path, small_data: Path, target: str
) -> None:
    (exported,) = export_artifacts(checkpoint, [target])
    assert exported.path == checkpoint.with_name(f"product.{target}")
    artifact = read_artifact(exported.path)
    evidence = artifact.manifest.evidence
    assert evidence.status == PROVED
    assert evidence.parent_sha256 == read_artifact(checkpoint).manifest.payload_sha256
    assert evidence.parity is not None
    assert evidence.parity.samples == TEST_IMAGES
    assert evidence.parity.agreement == 1.0
    assert evidence.parity.worst_difference < FP32_TOLERANCE
    assert evidence.metrics[0].samples == TEST_IMAGES
    assert evidence.metrics[0].value > 0.5, (
        "the checkpoint has learnt something, so the parity means something"
    )
    items = pictures(small_data, 11)
    with Predictor(checkpoint) as trained, Predictor(exported.path) as deployed:
        np.testing.assert_allclose(
            deployed.outputs(items)["scores"], trained.outputs(items)["scores"], atol=FP32_TOLERANCE, rtol=0
        )
        assert deployed.verify().holds
        assert deployed.spec.baked == ("colour_order", "layout", "cast", "normalise", "views", "activation")
        if target == "pte":
            assert deployed.runtime.delegated_fraction == pytest.approx(  # type: ignore[attr-defined]
                evidence.facts["delegated_fraction"], abs=1e-4
            )


def test_export_pte_takes_the_batch_that_was_asked_for(checkpoint: Path, small_data: Path) -> None:
    (exported,) = export_artifacts(checkpoint, ["pte"], max_batch=20)
    assert exported.artifact.spec.batch.max == 20
    with Predictor(exported.path) as predictor:
        assert len(predictor.predict(pictures(small_data, 20))) == 20


def test_export_pte_manifest_is_read_by_executorch_itself(checkpoint: Path) -> None:
    from runtimes.executorch_python import import_executorch
    from sdk.artifact import Manifest

    (exported,) = export_artifacts(checkpoint, ["pte"])
    program = import_executorch().Runtime.get().load_program(exported.path.read_bytes())
    text = program.load_method("edgewright_manifest").execute(())[0]
    assert Manifest.from_bytes(text.encode(), "x") == exported.artifact.manifest


@needs_rtx
@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("fp16", "float16"), ("int8", "int8")])
def test_export_trt_reads_back_the_precision_it_built(checkpoint: Path, precision: str, dtype: str) -> None:
    (exported,) = export_artifacts(checkpoint, ["trt"], recipe=Recipe(precision))
    found = exported.evidence.precision
    assert found["requested"] == precision
    assert found["not_as_requested"] == []
    assert {kind: set(counts) for kind, counts in found["layers"].items()} == {
        "CONVOLUTION": {dtype},
        "MATRIX_MULTIPLY": {dtype},
    }
    if exported.evidence.status == NOT_RUN:
        assert exported.evidence.parity is None
        assert exported.evidence.metrics == ()
        with pytest.raises(DeviceError, match="expected"):
            Predictor(exported.path)


def test_export_fp16_onnx_is_half_inside_and_float_outside(checkpoint: Path) -> None:
    (exported,) = export_artifacts(checkpoint, ["onnx"], recipe=Recipe("fp16"))
    weights = exported.evidence.precision["weights"]
    assert weights["float16"] > 100 * weights.get("float32", 0)
    assert exported.evidence.parity is not None
    assert FP32_TOLERANCE < exported.evidence.parity.worst_difference < 3e-2
    graph = exported.artifact.spec.graph()
    assert (graph.inputs[0].dtype, graph.outputs[0].dtype) == ("uint8", "float32")


def test_export_refuses_a_graph_that_preprocesses_differently(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The defect this project exists for: the deployed model normalises otherwise than the trained one."""
    from export.bakers import image

    original = image._per_channel
    monkeypatch.setattr(image, "_per_channel", lambda values: original(values) * 0.8)
    before = sorted(checkpoint.parent.iterdir())
    assert main(["export", str(checkpoint), "--to", "onnx"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "a worst difference of" in error
    assert "Nothing was written" in error
    assert sorted(checkpoint.parent.iterdir()) == before


def test_export_refuses_all_when_one_target_is_past_its_budget(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export.lowerings import executorch_lowering

    original = executorch_lowering.bake

    def zeroed(network: torch.nn.Module, spec: object, **options: object) -> object:
        module, baked = original(network, spec, **options)  # type: ignore[arg-type]
        with torch.no_grad():
            next(module.network.parameters()).zero_()
        return module, baked

    monkeypatch.setattr(executorch_lowering, "bake", zeroed)
    with pytest.raises(ProofError, match=r"product\.pte: got a worst difference"):
        export_artifacts(checkpoint, ["onnx", "pte"])
    assert not checkpoint.with_name("product.onnx").exists()
    assert not checkpoint.with_name("product.pte").exists()


def test_export_max_drop_is_held_against_the_headline_metric(checkpoint: Path) -> None:
    with pytest.raises(ProofError, match=r"0\.00 points below .* expected a drop of at most -0\.5 points"):
        export_artifacts(checkpoint, ["onnx"], max_drop=-0.5)


def test_export_never_replaces_silently(checkpoint: Path) -> None:
    existing = checkpoint.with_name("product.onnx")
    existing.write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"'product\.onnx': got a file that is there already.*--overwrite"):
        export_artifacts(checkpoint, ["onnx"])
    assert existing.read_bytes() == b"precious"
    export_artifacts(checkpoint, ["onnx"], overwrite=True)
    assert read_artifact(existing).manifest.evidence.status == PROVED


def test_export_into_another_folder(checkpoint: Path, tmp_path: Path) -> None:
    (exported,) = export_artifacts(checkpoint, ["onnx"], out=tmp_path / "new" / "folder")
    assert exported.path == tmp_path / "new" / "folder" / "product.onnx"


def test_export_refuses_before_any_work(checkpoint: Path) -> None:
    for options, message in (
        ({"targets": ["tflite"]}, "Option --to: got 'tflite'"),
        ({"targets": []}, "Option --to: got no target"),
        ({"targets": ["pte"], "recipe": Recipe("fp16")}, r"Option --precision: got fp16 for \.pte"),
        ({"targets": ["onnx"], "max_batch": 0}, "Option --max-batch: got 0"),
    ):
        with pytest.raises(UsageError, match=message):
            export_artifacts(checkpoint, **options)  # type: ignore[arg-type]


def test_export_of_an_artifact_that_is_no_checkpoint(checkpoint: Path) -> None:
    (exported,) = export_artifacts(checkpoint, ["onnx"])
    with pytest.raises(UsageError, match=r"got a \.onnx artifact, expected a \.safetensors"):
        export_artifacts(exported.path, ["pte"])


def test_export_without_known_data(checkpoint: Path) -> None:
    checkpoint.with_name("run.json").unlink()
    with pytest.raises(DataError, match=r"no run\.json beside it.*--data PATH"):
        export_artifacts(checkpoint, ["onnx"])


def test_export_with_data_whose_labels_disagree(checkpoint: Path, tmp_path: Path, small_data: Path) -> None:
    other = tmp_path / "other-data"
    other.mkdir()
    for path in small_data.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / "labels.txt").write_text("\n".join(f"thing {i}" for i in range(10)))
    with pytest.raises(DataError, match="T-shirt/top"):
        export_artifacts(checkpoint, ["onnx"], data=other)


def test_export_with_a_missing_compiler_names_the_extra(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineMissingError, match=r"edgewright\[tensorrt-rtx\]"):
        export_artifacts(checkpoint, ["trt"])


def test_export_of_nan_weights_is_refused(checkpoint: Path) -> None:
    from safetensors.torch import load, save

    artifact = read_artifact(checkpoint)
    weights = load(artifact.payload)
    next(value for value in weights.values() if value.is_floating_point()).fill_(float("nan"))
    write_artifact(checkpoint, save(weights), replace(artifact.manifest))
    with pytest.raises(Exception, match="Output 'scores': got NaN"):
        export_artifacts(checkpoint, ["onnx"])
    assert not checkpoint.with_name("product.onnx").exists()


def test_export_of_a_checkpoint_with_other_weights(checkpoint: Path) -> None:
    from safetensors.torch import save

    artifact = read_artifact(checkpoint)
    write_artifact(checkpoint, save({"w": torch.zeros(3)}), artifact.manifest)
    with pytest.raises(Exception, match="expected the weights of the network that it names"):
        export_artifacts(checkpoint, ["onnx"])


def test_export_command_prints_json(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(checkpoint), "--to", "onnx", "--json"]) == 0
    streams = capsys.readouterr()
    (entry,) = json.loads(streams.out)
    assert entry["evidence"]["status"] == "proved"
    assert "proving product.onnx: " in streams.err


def test_exported_files_refuse_any_damage_without_a_native_crash(checkpoint: Path) -> None:
    generator = np.random.default_rng(0)
    for exported in export_artifacts(checkpoint, ["onnx", "pte"]):
        data = exported.path.read_bytes()
        for at in generator.integers(0, len(data), 60):
            altered = bytearray(data)
            altered[at] ^= 1 << int(generator.integers(8))
            exported.path.write_bytes(altered)
            with pytest.raises(ArtifactError):
                Predictor(exported.path)
        for length in generator.integers(0, len(data), 20):
            exported.path.write_bytes(data[:length])
            with pytest.raises(ArtifactError):
                Predictor(exported.path)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["measuring", "lowering", "proving product.onnx", "at the end"])
def test_export_killed_leaves_no_half_file(checkpoint: Path, moment: str) -> None:
    words = [sys.executable, "-m", "sdk.command", "export", str(checkpoint), "--to", "onnx,pte"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    if moment == "at the end":
        while process.poll() is None and not checkpoint.with_name("product.onnx").exists():
            time.sleep(0.001)
    else:
        next(line for line in process.stderr if line.startswith(moment))
    process.send_signal(signal.SIGKILL)
    process.stderr.close()
    process.wait()
    for name in ("product.onnx", "product.pte"):
        path = checkpoint.with_name(name)
        if path.exists():
            with Predictor(path) as predictor:
                assert predictor.verify().holds
    export_artifacts(checkpoint, ["onnx"], overwrite=True)
