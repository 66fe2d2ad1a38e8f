"""Text classifiers in every runtime: any length in ONNX, a few lengths in ExecuTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession

from export.onnx_graph import lower_to_onnx
from export.pipeline import export_artifacts
from export.quantization.onnx_dynamic import quantize_dynamic_graph
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
