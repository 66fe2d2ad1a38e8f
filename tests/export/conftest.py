"""A real, small, quickly trained checkpoint on real pictures, shared by the export tests."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from runtimes import Dim, TensorInfo
from runtimes.torch_runtime import build_network
from sdk import Predictor
from sdk.artifact import MANIFEST_VERSION, TRAINED, Evidence, Manifest, write_artifact
from sdk.golden import make_golden_samples
from sdk.outputs.classification import ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from tests.sdk.conftest import image_input
from train.data.idx import FASHION_LABELS

TRAIN_IMAGES, TEST_IMAGES = 1500, 300


@pytest.fixture(autouse=True)
def _restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is timed here need not be timed well."""
    monkeypatch.setattr("export.latency.WARM_UP_S", 0.0)
    monkeypatch.setattr("export.latency.ROUNDS", 4)
    monkeypatch.setattr("export.latency.MOST_TAKES", 1)


def _read(path: Path, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def write_idx(path: Path, array: np.ndarray) -> None:
    """One gzipped idx file of unsigned bytes."""
    head = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes(), 1))


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The first pictures of the bundled sample, as an idx folder."""
    source = root / "demos" / "data" / "fashion_mnist_sample"
    folder = tmp_path_factory.mktemp("data") / "fashion-mnist-small"
    folder.mkdir()
    for stem, count in (("train", TRAIN_IMAGES), ("t10k", TEST_IMAGES)):
        images = _read(source / f"{stem}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)[:count]
        write_idx(folder / f"{stem}-images-idx3-ubyte.gz", images)
        write_idx(
            folder / f"{stem}-labels-idx1-ubyte.gz", _read(source / f"{stem}-labels-idx1-ubyte.gz", 8)[:count]
        )
    return folder


def _spec() -> Spec:
    image = image_input(channels="grey", size_wh=(28, 28), mean=(0.286,), std=(0.353,))
    graph = Graph(
        "main",
        (TensorInfo("image", "float32", (Dim(), 1, 28, 28)),),
        (TensorInfo("scores", "float32", (Dim(), 10)),),
    )
    network = Network("compact_cnn", {"channels": 1, "classes": 10, "width": 8})
    output = ClassificationOutput(FASHION_LABELS, "softmax", 3, 1.0)
    return Spec(SPEC_VERSION, "product", "product", image, output, (graph,), (), network)


def _train(network: torch.nn.Module, spec: Spec, folder: Path) -> None:
    images = _read(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    targets = torch.from_numpy(_read(folder / "train-labels-idx1-ubyte.gz", 8).astype(np.int64))
    inputs = torch.from_numpy(spec.input.batch([spec.input.load(image) for image in images], ())["image"])
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    network.train()
    for _ in range(8):
        for rows in torch.randperm(len(images)).split(64):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs[rows]), targets[rows]).backward()
            optimiser.step()
    network.eval()


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory, small_data: Path) -> Path:
    """A run folder: `product.safetensors` and the `run.json` that names its data."""
    from safetensors.torch import save

    spec, folder = _spec(), tmp_path_factory.mktemp("run")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network({"name": spec.network.name, "arguments": spec.network.arguments})
        _train(network, spec, small_data)
    evidence = Evidence(TRAINED, "2026-01-01T00:00:00+00:00", None, {}, 1e-4, None, (), {})
    manifest = Manifest(MANIFEST_VERSION, spec, (), evidence, "")
    path = folder / "product.safetensors"
    write_artifact(path, save(network.state_dict()), manifest)
    pictures = _read(small_data / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)[:8]
    with Predictor(path) as predictor:
        golden = make_golden_samples(spec, list(pictures), predictor.outputs)
    write_artifact(path, save(network.state_dict()), Manifest(MANIFEST_VERSION, spec, golden, evidence, ""))
    (folder / "run.json").write_text(json.dumps({"task": "product", "data": str(small_data)}))
    return folder


@pytest.fixture
def checkpoint(trained_folder: Path, tmp_path: Path) -> Path:
    """The trained run in a folder of this test's own."""
    for path in trained_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / "product.safetensors"
