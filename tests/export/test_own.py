"""Export of modules that nobody here knows."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.own import describe, export_module
from export.recipe import INT8, Recipe
from runtimes import DataError, Dim, EngineError, InputError, ProofError, SpecError, UsageError
from sdk import Predictor
from sdk.artifact import PROVED
from sdk.outputs.classification import ClassificationOutput
from tests.sdk.conftest import image_input
from train.networks.own import Positional, build, lent, named_tensors
from train.tasks import TASKS, get_task
from train.tasks.own import OwnTask

SAME = 1e-5
"""The same sums in another order."""
LABELS = ("a", "b", "c")


class Reader(nn.Module):
    """Two inputs by name, two outputs by name, whole numbers and tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 4)
        self.out = nn.Linear(4, 20, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, input_ids: Tensor, weights: Tensor) -> dict[str, Tensor]:
        hidden = self.embed(input_ids) * weights[..., None]
        return {"logits": self.out(hidden.mean(1)), "best": hidden.argmax(-1)}


class Cell(nn.Module):
    """State, a scalar setting, a scalar output: no axis counts items."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 5)

    def forward(self, x: Tensor, state: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        new = self.cell(x * rate, state)
        return new.sum(), new


class Colours(nn.Module):
    """Which channel of a picture is largest."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(8 * torch.eye(3)[:, :, None, None])

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image).mean(dim=(2, 3))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def read_items(count: int = 5, length: int = 6) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(1)
    return [
        {"input_ids": random.integers(0, 20, length), "weights": random.random(length).astype(np.float32)}
        for _ in range(count)
    ]


def reading() -> dict[str, Tensor]:
    return {"input_ids": torch.randint(0, 20, (2, 6)), "weights": torch.rand(2, 6)}


def cell_example(rows: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    return torch.rand(rows, 3), torch.zeros(1, 5), torch.tensor(2.0)


def pictures(count: int = 12) -> list[np.ndarray]:
    random = np.random.default_rng(2)
    return [random.integers(0, 256, (9, 7, 3)).astype(np.uint8) for _ in range(count)]


def test_describe_finds_names_types_and_axes() -> None:
    spec = describe(Reader(), reading(), name="reader")

    assert [(i.name, i.dtype, i.shape) for i in spec.graph().inputs] == [
        ("input_ids", "int64", (Dim(), 6)),
        ("weights", "float32", (Dim(), 6)),
    ]
    assert [(o.name, o.shape) for o in spec.graph().outputs] == [
        ("logits", (Dim(), 20)),
        ("best", (Dim(), 6)),
    ]
    assert spec.task == "own" and not spec.baked


def test_module_of_arrays_goes_to_onnx(tmp_path: Path) -> None:
    module, items = Reader(), read_items()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    (done,) = export_module(
        module, reading(), describe(module, reading(), name="reader"), items=items, out=tmp_path
    )
    with torch.inference_mode():
        wanted = module.eval()(*(torch.as_tensor(v)[None] for v in items[3].values()))
    with Predictor(done.path) as predictor:
        found = predictor.predict(items)
        assert predictor.verify().holds

    np.testing.assert_allclose(found[3]["logits"], wanted["logits"][0], atol=SAME)
    np.testing.assert_array_equal(found[3]["best"], wanted["best"][0])
    assert done.evidence.status == PROVED and done.evidence.parity is not None
    assert done.evidence.parity.samples == 5 and not done.evidence.metrics
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_state_and_scalars_go_to_onnx(tmp_path: Path) -> None:
    module, example = Cell(), cell_example()
    spec = describe(module, example, name="cell", batched=False)
    item = {f"input_{at}": tensor.numpy() for at, tensor in enumerate(example)}
    (done,) = export_module(module, example, spec, items=[item], out=tmp_path)
    with torch.inference_mode():
        total, state = module(*example)
    with Predictor(done.path) as predictor:
        found = predictor.predict(item)

    assert found["output_0"] == pytest.approx(float(total), abs=SAME)
    np.testing.assert_allclose(found["output_1"], state, atol=SAME)


def test_open_axis_other_than_the_batch_stays_open(tmp_path: Path) -> None:
    module = Reader()
    data = describe(module, reading(), name="reader").to_json()
    for side in ("inputs", "outputs"):
        for tensor in data["graphs"][0][side]:
            if tensor["name"] != "logits":
                tensor["shape"][1] = {"min": 2, "max": None}
    for tensor in data["input"]["tensors"]:
        tensor["shape"][0] = {"min": 2, "max": None}
    from sdk import Spec

    (done,) = export_module(module, reading(), Spec.from_json(data), items=read_items(), out=tmp_path)
    with Predictor(done.path) as predictor:
        assert predictor.predict(read_items(1, length=11)[0])["best"].shape == (11,)


def colours_spec() -> Any:
    output = ClassificationOutput(LABELS, "softmax", 3, temperature=1.0)
    return describe(Colours(), torch.rand(1, 3, 4, 4), name="colours", input=image_input(), output=output)


@pytest.mark.parametrize("target", ["onnx", pytest.param("pte", marks=pytest.mark.slow)])
def test_module_of_pictures_is_baked_and_measured(tmp_path: Path, target: str) -> None:
    module, items = Colours(), pictures()
    spec = colours_spec()
    arrays = spec.input.batch([spec.input.load(item) for item in items], ())
    with torch.inference_mode():
        best = module(torch.as_tensor(arrays["image"])).argmax(dim=1)
    truths = [LABELS[index] for index in best.tolist()]
    truths[0] = next(label for label in LABELS if label != truths[0])
    (done,) = export_module(
        module, torch.rand(1, 3, 4, 4), colours_spec(), items=items, truths=truths, targets=[target],
        out=tmp_path, max_batch=4,
    )  # fmt: skip

    (metric,) = done.evidence.metrics
    assert (metric.name, metric.samples) == ("accuracy", 12)
    assert metric.value == pytest.approx(11 / 12)
    with Predictor(done.path) as predictor:
        assert predictor.spec.graph().inputs[0].dtype == "uint8"
        assert [r.label for r in predictor.predict(items)][1:] == truths[1:]


@pytest.mark.slow
def test_int8_is_calibrated_on_other_items(tmp_path: Path) -> None:
    example = torch.rand(1, 3, 4, 4)
    spec, items = colours_spec(), pictures()
    with pytest.raises(DataError, match="Argument 'calibration'"):
        export_module(Colours(), example, spec, items=items, recipe=Recipe(precision=INT8), out=tmp_path)
    random = np.random.default_rng(3)
    others = [random.integers(0, 256, (9, 7, 3)).astype(np.uint8) for _ in range(40)]
    (done,) = export_module(
        Colours(), example, spec, items=items, calibration=others, recipe=Recipe(precision=INT8),
        out=tmp_path, max_drop=20,
    )  # fmt: skip
    assert done.path.name == "colours_int8.onnx"


class Restless(nn.Module):
    """Gives another answer whenever it is asked."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand(1)


def test_module_without_one_answer_is_not_written(tmp_path: Path) -> None:
    example = torch.rand(1, 3)
    items = [np.zeros(3, np.float32)]
    with pytest.raises(ProofError, match="worst difference"):
        export_module(Restless(), example, describe(Restless(), example, name="r"), items=items, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_spec_of_another_module_is_refused(tmp_path: Path) -> None:
    spec = describe(Reader(), reading(), name="reader")
    with pytest.raises(SpecError, match="spec.graphs: inputs: got"):
        export_module(Colours(), torch.rand(1, 3, 4, 4), spec, items=pictures(1), out=tmp_path)


def test_output_of_another_kind_is_refused() -> None:
    output = ClassificationOutput(LABELS, "softmax", 3, temperature=1.0)
    with pytest.raises(SpecError, match=r"a module that gives \['logits', 'best'\]"):
        describe(Reader(), reading(), name="reader", output=output)


@pytest.mark.parametrize(
    ("example", "what"),
    [
        (torch.rand(1, 7, 4, 4), "got RuntimeError"),
        (np.ones((1, 3, 4, 4)), "got ndarray, expected tensors"),
        ((), "got nothing"),
        ({"pixels": torch.rand(1, 3, 4, 4)}, "got TypeError"),
    ],
    ids=["shape", "array", "nothing", "name"],
)
def test_example_that_does_not_fit_is_named(example: Any, what: str) -> None:
    with pytest.raises(UsageError, match=f"Argument 'example': {what}"):
        describe(Colours(), example, name="colours")


def test_items_must_have_one_shape(tmp_path: Path) -> None:
    spec = describe(Cell(), cell_example(), name="cell", batched=False).to_json()
    spec["input"]["tensors"][0]["shape"][0] = {"min": 1, "max": None}
    items = [{f"input_{at}": t.numpy() for at, t in enumerate(cell_example(rows))} for rows in (1, 2)]
    from sdk import Spec

    with pytest.raises(InputError, match=r"Items: 'input_0': got shapes \[\(1, 3\), \(2, 3\)\]"):
        export_module(Cell(), cell_example(), Spec.from_json(spec), items=items, out=tmp_path)


def test_truths_must_be_one_per_item(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Argument 'truths': got 1 for 12 items"):
        export_module(
            Colours(), torch.rand(1, 3, 4, 4), colours_spec(), items=pictures(), truths=["a"], out=tmp_path
        )


Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (torch.zeros(1), ["output"]),
        ([torch.zeros(1), torch.zeros(2)], ["output_0", "output_1"]),
        (
            {"a": torch.zeros(1), "none": None, "more": (torch.zeros(1), torch.zeros(1))},
            ["a", "more_0", "more_1"],
        ),
        (Pair(torch.zeros(1), torch.zeros(1)), ["left", "right"]),
        (None, []),
    ],
    ids=["tensor", "list", "nested", "named tuple", "nothing"],
)
def test_tensors_are_found_in_what_a_module_returns(given: Any, names: list[str]) -> None:
    assert list(named_tensors(given)) == names


def test_lent_module_is_gone_afterwards() -> None:
    with lent(Positional(Colours()), "colours") as arguments:
        copy = build(**arguments)
        assert copy(torch.rand(2, 3, 4, 4)).shape == (2, 3)
    with pytest.raises(ValueError, match="not there any more"):
        build(**arguments)


def test_task_reads_a_folder_and_is_not_offered_for_training(tmp_path: Path) -> None:
    task = get_task("own")
    for name in ("b.npy", "a.npy"):
        np.save(tmp_path / name, np.full(2, ord(name[0])))
    split = task.load_split(tmp_path, task.proof_split(tmp_path))

    assert [int(item[0]) for item in split.items] == [ord("a"), ord("b")]
    assert task.measure([], split) == () and "own" not in TASKS
    with pytest.raises(DataError, match="nothing for the split 'train'"):
        task.load_split(tmp_path, "train")


def test_arrays_agree_within_their_own_size() -> None:
    from sdk.results import Arrays

    def answer(value: float, index: int = 3) -> Arrays:
        return Arrays({"x": np.array([1000.0, value]), "index": np.array([index])}, None)

    task, one = OwnTask(), answer(5.0)
    assert task.agreement([one, one, one], [answer(5.0), answer(15.0), answer(50.0)]) == pytest.approx(2 / 3)
    assert task.agreement([one], [answer(5.0, index=4)]) == 0.0


def test_two_modules_of_one_name_are_not_lent_at_once() -> None:
    with lent(Colours(), "same"), pytest.raises(UsageError, match="Module 'same': got an export while"):  # noqa: SIM117
        with lent(Colours(), "same"):
            pytest.fail("it was lent")


def test_builder_of_nothing_is_an_engine_error() -> None:
    from runtimes.torch_runtime import build_network

    with pytest.raises(EngineError, match="exported from memory"):
        build_network({"name": "own", "arguments": {"module": "gone"}})
