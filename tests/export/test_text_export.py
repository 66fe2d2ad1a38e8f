"""Text classifiers in every runtime: any length in ONNX, a few lengths in ExecuTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from export.onnx_graph import lower_to_onnx
from export.pipeline import export_artifacts
from export.quantization.onnx_dynamic import quantize_dynamic_graph
from export.quantization.onnx_embeddings import store_embeddings_as_int8
from runtimes.torch_runtime import build_network
from sdk import Predictor
from sdk.artifact import PROVED
from tests.texts import WORDS, text_input, write_reviews
from train.loop import train
from train.options import make_options
from train.tasks import text_plan

# Softmax of float32 sums in another order.
FP32_TOLERANCE = 1e-5
TEXTS = ["great", "a dull film", "awful", "the very great plot of a dull actor"]
CONFIG = {
    "model_type": "bert", "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 20,
}  # fmt: skip


@pytest.fixture(scope="module")
def lstm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that is lowered to two lengths where the length must be fixed."""
    root = tmp_path_factory.mktemp("lstm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_plan, "SHORTEST_BUCKET", 2)
        options = make_options(
            "text", write_reviews(root / "data"), root / "run", epochs=3, lr=2e-2, batch_size=8, hidden=6,
            embedding=6, max_tokens=4, threads=1, device="cpu",
        )  # fmt: skip
        return train(options).checkpoint


@pytest.mark.slow
def test_an_lstm_answers_alike_at_any_length(lstm: Path, tmp_path: Path) -> None:
    with Predictor(lstm) as predictor:
        expected = predictor.outputs(TEXTS)["scores"]
    onnx, pte = export_artifacts(lstm, ["onnx", "pte"], out=tmp_path)
    for made in (onnx, pte):
        assert made.evidence.status == PROVED
        assert made.evidence.parity is not None
        assert made.evidence.parity.agreement == 1.0
        with Predictor(made.path) as predictor:
            together = predictor.outputs(TEXTS)["scores"]
            alone = np.concatenate([predictor.outputs([text])["scores"] for text in TEXTS])
        np.testing.assert_allclose(together, expected, atol=FP32_TOLERANCE)
        np.testing.assert_allclose(alone, expected, atol=FP32_TOLERANCE)
    assert [str(info) for info in onnx.artifact.spec.graph().inputs] == ["int64 (1+, 1..4)"] * 2
    assert onnx.artifact.spec.input.lengths == ()  # type: ignore[attr-defined]
    spec = pte.artifact.spec
    assert spec.input.lengths == (2, 4)  # type: ignore[attr-defined]
    assert [str(graph.inputs[0]) for graph in spec.graphs] == ["int64 (1, 2)", "int64 (1, 4)"]
    assert pte.evidence.facts["delegated_fraction"] > 0.6


def test_an_lstm_keeps_its_open_length_however_often_it_is_lowered() -> None:
    arguments = {"vocabulary": len(WORDS), "classes": 2, "hidden": 4, "embedding": 4}
    network = build_network({"name": "text_lstm", "arguments": arguments}).eval()
    spec = text_plan._spec("text", text_input(), ("bad", "good"), text_plan.Network("text_lstm", arguments))
    first, second = (lower_to_onnx(network, spec)[0] for _ in range(2))
    assert len(first) == len(second)


def test_embedding_tables_are_stored_in_int8_by_row() -> None:
    table = (
        np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32) * np.linspace(0, 9, 2000)[:, None]
    )
    nodes = [helper.make_node("Gather", ["table", "rows"], ["taken"], name="gather")]
    rows = helper.make_tensor_value_info("rows", TensorProto.INT64, ["n", "t"])
    taken = helper.make_tensor_value_info("taken", TensorProto.FLOAT, ["n", "t", 16])
    tables = [numpy_helper.from_array(table.astype(np.float32), "table")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [rows], [taken], tables), opset_imports=[helper.make_opsetid("", 20)]
    )
    large = len(model.SerializeToString())
    assert store_embeddings_as_int8(model) == ["table"]
    assert len(model.SerializeToString()) < large / 3
    model.ir_version = 10  # what this ONNX Runtime reads
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = np.array([[0, 7, 1999], [3, 3, 500]])
    (found,) = session.run(None, {"rows": given})
    # Half a step of 127 in the row's own largest value.
    step = np.abs(table[given]).max(axis=2, keepdims=True) / 127
    assert (np.abs(found - table[given]) <= 0.51 * step).all()


def test_small_tables_and_those_with_two_readers_stay() -> None:
    table = np.ones((2000, 16), np.float32)
    gather = [helper.make_node("Gather", [name, "rows"], [f"{name}_rows"]) for name in ("small", "twice")]
    nodes = [*gather, helper.make_node("Add", ["twice", "twice_rows"], ["sum"])]
    rows = helper.make_tensor_value_info("rows", TensorProto.INT64, [1])
    tables = [numpy_helper.from_array(table[:4], "small"), numpy_helper.from_array(table, "twice")]
    model = helper.make_model(helper.make_graph(nodes, "g", [rows], [], tables))
    assert store_embeddings_as_int8(model) == []


def test_a_bert_takes_any_batch_and_length_in_onnx() -> None:
    arguments = {"config": CONFIG, "classes": 2}
    torch.manual_seed(0)
    network = build_network({"name": "bert", "arguments": arguments}).eval()
    kind = text_input(max_tokens=20)
    spec = text_plan._spec("text", kind, ("bad", "good"), text_plan.Network("bert", arguments))
    payload, baked = lower_to_onnx(network, spec)
    assert baked.baked == ("activation",)
    small = quantize_dynamic_graph(payload, "per-channel")
    sessions = [InferenceSession(model, providers=["CPUExecutionProvider"]) for model in (payload, small)]
    for texts in (["good"], ["a very good film", "bad"], ["the " * 20] * 3):
        arrays = kind.batch([kind.load(text) for text in texts], ())
        with torch.inference_mode():
            expected = torch.softmax(network(*map(torch.from_numpy, arrays.values())), dim=1).numpy()
        found, rounded = (session.run(None, arrays)[0] for session in sessions)
        np.testing.assert_allclose(found, expected, atol=FP32_TOLERANCE)
        np.testing.assert_allclose(rounded, expected, atol=0.05)
