"""Export of any `nn.Module`: yours, from memory, with a spec, through the same gate as what was trained here.

spec = describe(module, torch.rand(1, 3, 224, 224), name="flowers", input=ImageInput(…), output=…)
export_module(module, example, spec, items=photos, targets=("onnx", "pte"), out="artifacts")
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.calibration import CalibrationChoice
from export.pipeline import DEFAULT_MAX_BATCH, Exported, export_artifacts
from export.prove import Progress
from export.recipe import Recipe
from runtimes import Dim, InputError, SpecError, TensorInfo, UsageError
from runtimes.errors import first_line
from sdk.artifact import IMPORTED, MANIFEST_VERSION, Evidence, Manifest, write_artifact
from sdk.artifact.provenance import now_utc, versions_of
from sdk.golden import make_golden_samples
from sdk.inputs.arrays import ArraysInput
from sdk.kinds import InputKind, OutputKind
from sdk.outputs.arrays import ArraysOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from train.networks.own import OWN, Positional, lent, named_tensors
from train.tasks.own import Correct, OwnTask

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["describe", "export_module"]

GOLDEN_SAMPLES = 8
TOLERANCE = 1e-3
_FP32_RECIPE = Recipe()
_PACKAGES = ("edgewright", "torch", "numpy", "pillow")
_GRAPH_OUTPUTS = {"classification": ("scores",), "segmentation": ("logits",), "embedding": ("embedding",),
                  "final_boxes": ("boxes", "scores", "classes")}  # fmt: skip
"""What output kinds call the tensors that a network gives; see each of them."""

Example = Any
"""A tensor, several in a row, or several by the names of the module's arguments; each with a batch axis."""


def describe(
    module: nn.Module,
    example: Example,
    *,
    name: str,
    input: InputKind | None = None,  # noqa: A002 - as in the spec
    output: OutputKind | None = None,
    batched: bool = True,
) -> Spec:
    """The spec of a module, its tensors found by calling it once.

    Args:
        module: Yours; called in eval mode.
        example: What it takes: a tensor, a tuple of them, or a mapping by its arguments' names.
        name: Of the model, and of its files.
        input: How items become what it takes; None: items are arrays.
        output: How what it gives becomes results; None: results are arrays.
        batched: Whether the first axis of everything it takes and gives counts items.

    Raises:
        UsageError: It cannot be called with the example.
        SpecError: It gives another number of tensors than `output` reads.
    """
    tensors = _tensors(example)
    given = _call(module, example)
    inputs = tuple(_info(_input_name(input, key), tensor, batched) for key, tensor in tensors.items())
    names = _output_names(output, given)
    outputs = tuple(_info(key, tensor, batched) for key, tensor in zip(names, given.values(), strict=True))
    return Spec(
        version=SPEC_VERSION,
        name=name,
        task="own",
        input=input or ArraysInput(tuple(_one(info, batched) for info in inputs), batched),
        output=output or ArraysOutput(tuple(info.name for info in outputs), batched),
        graphs=(Graph("main", inputs, outputs),),
        baked=(),
        network=Network(OWN, {}),
    )


def export_module(
    module: nn.Module,
    example: Example,
    spec: Spec,
    *,
    items: Sequence[Any],
    targets: Sequence[str] = ("onnx",),
    out: Path | str,
    truths: Sequence[Any] = (),
    correct: Correct | None = None,
    calibration: Sequence[Any] = (),
    recipe: Recipe = _FP32_RECIPE,
    max_drop: float | None = None,
    max_batch: int = DEFAULT_MAX_BATCH,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Exported]:
    """Bake, lower and prove a module of your own. Either all targets are written, or none.

    Args:
        module: Any; not changed. It is copied to the CPU and called in eval mode.
        example: As for `describe`.
        spec: How it is fed and read: from `describe`, or written out. Its graph says which axes are open.
        items: Real inputs, as `Predictor.predict` takes them: artifacts must give its answers on them.
        targets: Some of ``onnx``, ``pte``, ``trt``.
        out: Folder for the artifacts.
        truths: What is true of each item. With them, accuracy is measured and guarded; without, agreement
            with the module.
        correct: Whether a result is right, given its truth; None compares the label or class index.
        calibration: Other real inputs, for precisions that need ranges (INT8, FP16).
        recipe: Precision, and how it is reached.
        max_drop: Largest loss in points; None for the precision's default.
        max_batch: Largest batch of engines that plan their memory ahead.
        overwrite: Replace artifacts that are there already.
        progress: Called as ``progress(what, done, total)``.

    Returns:
        What was written, in the order of `targets`.

    Raises:
        UsageError: The module cannot be called with the example, or an option makes no sense.
        SpecError: The spec does not fit the module.
        ProofError: An artifact does not give the module's answers.
        EngineError: A compiler is missing or refuses the module.
    """
    task = OwnTask(items, truths=truths, correct=correct, calibration=calibration)
    task.load_split(Path(), "test", spec)  # says what is wrong with the items before any work
    _require_fit(module, example, spec)
    _require_one_shape(spec, items)
    network = _on_cpu(Positional(module, tuple(example) if isinstance(example, Mapping) else ()))
    with tempfile.TemporaryDirectory(prefix="edgewright-") as folder, lent(network, spec.name) as arguments:
        checkpoint = Path(folder) / f"{spec.name}.safetensors"
        _write_checkpoint(checkpoint, network, replace(spec, network=Network(OWN, arguments)), items)
        return export_artifacts(
            checkpoint,
            targets,
            recipe=recipe,
            data=Path(folder),
            calibration=CalibrationChoice(samples=None),
            out=out,
            max_drop=max_drop,
            max_batch=max_batch,
            overwrite=overwrite,
            progress=progress,
            task=task,
        )


def _write_checkpoint(path: Path, network: nn.Module, spec: Spec, items: Sequence[Any]) -> None:
    """The module as a checkpoint, its own answers as golden samples."""
    from safetensors.torch import save

    from sdk.predictor import Predictor

    # Clones, because safetensors takes no tensors that share memory, such as tied weights.
    payload = save({key: value.detach().clone().contiguous() for key, value in network.state_dict().items()})
    evidence = Evidence(IMPORTED, now_utc(), None, {}, TOLERANCE, None, (), versions_of(_PACKAGES), {})
    manifest = Manifest(MANIFEST_VERSION, spec, (), evidence, "")
    write_artifact(path, payload, manifest)
    rows = sorted({round(at * (len(items) - 1) / (GOLDEN_SAMPLES - 1)) for at in range(GOLDEN_SAMPLES)})
    with Predictor(path) as predictor:
        golden = make_golden_samples(spec, [items[row] for row in rows], predictor.outputs)
    write_artifact(path, payload, replace(manifest, samples=golden))


def _require_fit(module: nn.Module, example: Example, spec: Spec) -> None:
    """Refuse a spec whose graph is not the module's."""
    graph = spec.graph()
    given = tuple(_call(module, example).values())
    for what, infos, tensors in (
        ("input", graph.inputs, tuple(_tensors(example).values())),
        ("output", graph.outputs, given),
    ):
        shown = [f"{_dtype(tensor)} {tuple(tensor.shape)}" for tensor in tensors]
        pairs = zip(infos, tensors, strict=len(infos) == len(tensors))
        fits = all(info.dtype == _dtype(t) and info.accepts(tuple(t.shape)) for info, t in pairs)
        if len(infos) != len(tensors) or not fits:
            raise SpecError(
                f"spec.graphs: {what}s",
                got=f"{[f'{info.name}: {info}' for info in infos]}",
                expected=f"what the module has with the example: {shown}",
                fix="Let export.own.describe write them, or correct the example.",
            )


def _require_one_shape(spec: Spec, items: Sequence[Any]) -> None:
    """Answers are compared with one another as one array."""
    if not isinstance(spec.input, ArraysInput):
        return
    loaded = [spec.input.load(item).arrays for item in items]
    for name in loaded[0]:
        shapes = sorted({arrays[name].shape for arrays in loaded})
        if len(shapes) > 1:
            raise InputError(f"Items: {name!r}", got=f"shapes {shapes}", expected="one shape, to prove with",
                             fix="Pass items of one size; artifacts take the others as well.")  # fmt: skip


def _call(module: nn.Module, example: Example) -> dict[str, Tensor]:
    import torch

    training = module.training
    try:
        with torch.inference_mode():
            module.eval()
            given = module(**example) if isinstance(example, Mapping) else module(*_tensors(example).values())
    except Exception as error:  # a module of somebody else's raises whatever it likes
        raise UsageError(
            "Argument 'example'",
            got=f"{type(error).__name__}: {first_line(error)}",
            expected="tensors that the module can be called with",
            fix="Pass a tensor, a tuple of them, or a mapping by argument name.",
        ) from error
    finally:
        module.train(training)
    found = named_tensors(given)
    if not found:
        raise UsageError("Module", got=f"a {type(given).__name__} without tensors",
                         expected="a tensor, or several", fix="Wrap it so that it returns them.")  # fmt: skip
    return found


def _tensors(example: Example) -> dict[str, Tensor]:
    from torch import Tensor

    if isinstance(example, Mapping):
        named = dict(example)
    else:
        row = example if isinstance(example, (tuple, list)) else (example,)
        named = {f"input_{at}" if len(row) > 1 else "input": tensor for at, tensor in enumerate(row)}
    odd = [type(tensor).__name__ for tensor in named.values() if not isinstance(tensor, Tensor)]
    if odd or not named:
        raise UsageError("Argument 'example'", got=odd[0] if odd else "nothing", expected="tensors",
                         fix="Use torch.as_tensor(…).")  # fmt: skip
    return named


def _on_cpu(network: nn.Module) -> nn.Module:
    import copy

    try:
        return copy.deepcopy(network).cpu().eval()
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            "Module", got=first_line(error), expected="a module that copy.deepcopy can copy",
            fix="Detach tensors that it keeps beside its parameters and buffers.",
        ) from error  # fmt: skip


def _input_name(kind: InputKind | None, key: str) -> str:
    return "image" if kind is not None and kind.kind in ("image", "dicom") else key


def _output_names(kind: OutputKind | None, given: Mapping[str, Tensor]) -> tuple[str, ...]:
    names = tuple(given)
    if kind is not None and kind.kind == "yolo_grid":
        names = tuple(f"map_{at}" for at in range(len(given)))
    elif kind is not None and hasattr(kind, "output"):
        names = (kind.output,)
    elif kind is not None and kind.kind == "arrays":
        names = kind.names  # type: ignore[attr-defined]
    elif kind is not None:
        names = _GRAPH_OUTPUTS.get(kind.kind, names)
    if len(names) != len(given):
        raise SpecError("spec.output", got=f"a module that gives {list(given)}", expected=f"{list(names)}",
                        fix="Choose the kind of output that fits, or wrap the module.")  # fmt: skip
    return names


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _info(name: str, tensor: Tensor, batched: bool) -> TensorInfo:
    shape = tuple(tensor.shape)
    return TensorInfo(name, _dtype(tensor), (Dim(), *shape[1:]) if batched and shape else shape)


def _one(info: TensorInfo, batched: bool) -> TensorInfo:
    return replace(info, shape=info.shape[1:]) if batched else info
