"""An `.onnx` artifact for every page of the demo: hand-written graphs, so that answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image

from runtimes import Dim, TensorInfo
from sdk.artifact import MANIFEST_VERSION, PROVED, Evidence, Manifest, read_artifact, write_artifact
from sdk.artifact.onnx_graphs import join
from sdk.golden import make_golden_samples
from sdk.inputs.free_image import FreeImageInput
from sdk.inputs.noise import NoiseInput
from sdk.inputs.prompt import PromptInput
from sdk.inputs.text import INPUT_IDS, TextInput
from sdk.kinds import InputKind, OutputKind
from sdk.outputs.boxes import FinalBoxesOutput
from sdk.outputs.decoded_text import DecodedTextOutput
from sdk.outputs.forecast import ForecastOutput
from sdk.outputs.generated_text import GeneratedTextOutput
from sdk.outputs.picture import PictureOutput
from sdk.outputs.segmentation import SegmentationOutput
from sdk.predictor import Predictor
from sdk.spec import Graph, Network, Spec
from tests.hourly_series import hourly_table, series_input
from tests.light_artifact import light_spec
from tests.light_embedding import plain, write_light_embedding
from tests.texts import WORDS, text_input

SIDE_PX = 28
TOLERANCE = 1e-6
"""The same engine on the same machine."""
_HEAD = '<ir_version: 10, opset_import: ["" : 20]>'
_GREY = "uint8[batch,28,28,1] image"
_MAPS = """
    pixels = Cast<to=1>(image)
    shares = Div(pixels, white)
    bright = Transpose<perm=[0,3,1,2]>(shares)
    dark = Sub(one, bright)
"""


def write_page_subjects(folder: Path) -> list[Path]:
    """Two artifacts that tell bright from dark, to be compared, and one for every other page."""
    light = _classifier(folder / "light.onnx")
    twin = folder / "twin.onnx"
    twin.write_bytes(light.read_bytes())
    makers = (_detector, _segmenter, _text, _forecaster, _painter, _generator, _writer, _decoder, _embedder)
    return [light, twin, *(maker(folder) for maker in makers), _foreign(folder / "foreign.onnx")]


def half_bright() -> np.ndarray:
    """A grey picture, dark on the left and bright on the right."""
    picture = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    picture[:, SIDE_PX // 2 :] = 255
    return picture


def _pictures() -> list[bytes]:
    levels = (np.full((SIDE_PX, SIDE_PX), 250, np.uint8), np.full((SIDE_PX, SIDE_PX), 5, np.uint8))
    return [light_spec().input.encode(Image.fromarray(levels)) for levels in (*levels, half_bright())]


def _classifier(path: Path) -> Path:
    """``bright`` or ``dark``, with class activation maps."""
    graph = f"""{_HEAD} light ({_GREY}) => (float[batch,2] scores, float[batch,2,28,28] maps)
    <float white = {{255.0}}, float one = {{1.0}}, int64[2] axes = {{2, 3}}>
    {{ {_MAPS}
    maps = Concat<axis=1>(bright, dark)
    mean = ReduceMean<keepdims=0>(maps, axes)
    scores = Softmax<axis=1>(mean)
    }}"""
    spec = light_spec()
    maps = TensorInfo("maps", "float32", (Dim(), 2, SIDE_PX, SIDE_PX))
    graphs = (replace(spec.graph(), outputs=(*spec.graph().outputs, maps)),)
    return _write(path, replace(spec, graphs=graphs), [graph], _pictures())


def _detector(folder: Path) -> Path:
    """One ``lamp`` in the middle, the surer the brighter."""
    graph = f"""{_HEAD} lamps ({_GREY})
    => (float[batch,1,4] boxes, float[batch,1] scores, int64[batch,1] classes)
    <float white = {{255.0}}, int64[2] axes = {{1, 2}}, int64[1] last = {{2}}, float zero = {{0.0}},
     float[1,1,4] middle = {{0.25, 0.25, 0.75, 0.75}}>
    {{
    pixels = Cast<to=1>(image)
    shares = Div(pixels, white)
    mean = ReduceMean<keepdims=0>(shares, axes)
    scores = Identity(mean)
    nothing = Mul(mean, zero)
    rows = Unsqueeze(nothing, last)
    boxes = Add(rows, middle)
    classes = Cast<to=7>(nothing)
    }}"""
    outputs = (
        TensorInfo("boxes", "float32", (Dim(), 1, 4)),
        TensorInfo("scores", "float32", (Dim(), 1)),
        TensorInfo("classes", "int64", (Dim(), 1)),
    )
    kind = FinalBoxesOutput(("lamp",), 0.1, 0.01)
    return _write(folder / "lamps.onnx", _grey_spec("lamps", kind, outputs), [graph], _pictures())


def _segmenter(folder: Path) -> Path:
    """Every pixel ``night`` or ``day``."""
    graph = f"""{_HEAD} days ({_GREY}) => (float[batch,2,28,28] probabilities)
    <float white = {{255.0}}, float one = {{1.0}}>
    {{ {_MAPS}
    probabilities = Concat<axis=1>(dark, bright)
    }}"""
    outputs = (TensorInfo("probabilities", "float32", (Dim(), 2, SIDE_PX, SIDE_PX)),)
    kind = SegmentationOutput(("night", "day"), "softmax")
    return _write(folder / "days.onnx", _grey_spec("days", kind, outputs), [graph], _pictures()[::-1])


def _text(folder: Path) -> Path:
    """``positive`` where there is more ``good`` than ``bad``."""
    graph = f"""{_HEAD} reviews (int64[batch,length] input_ids) => (float[batch,2] scores)
    <int64 good = {{{WORDS.index("good")}}}, int64 bad = {{{WORDS.index("bad")}}}, int64[1] axes = {{1}}>
    {{
    is_good = Equal(input_ids, good)
    is_bad = Equal(input_ids, bad)
    goods = Cast<to=1>(is_good)
    bads = Cast<to=1>(is_bad)
    many_good = ReduceSum(goods, axes)
    many_bad = ReduceSum(bads, axes)
    logits = Concat<axis=1>(many_bad, many_good)
    scores = Softmax<axis=1>(logits)
    }}"""
    fed = text_input(inputs=(INPUT_IDS,))
    light = light_spec()
    read = replace(light.output, labels=("negative", "positive"))
    scores = TensorInfo("scores", "float32", (Dim(), 2))
    spec = _spec("reviews", fed, read, (Graph("main", fed.tensors(), (scores,)),), ("activation",))
    return _write(folder / "reviews.onnx", spec, [graph], ["a very good film", "the very bad film"])


def _forecaster(folder: Path) -> Path:
    """The last value again, ten less and ten more."""
    graph = f"""{_HEAD} hours (float[batch,48,1] past, float[batch,6,1] future)
    => (float[batch,6,3] quantiles)
    <int64[1] from = {{47}}, int64[1] to = {{48}}, int64[1] axis = {{1}}, float zero = {{0.0}},
     float[1,1,3] apart = {{-10.0, 0.0, 10.0}}>
    {{
    last = Slice(past, from, to, axis)
    nothing = Mul(future, zero)
    rows = Add(nothing, last)
    quantiles = Add(rows, apart)
    }}"""
    fed = series_input(calendar=())
    read = ForecastOutput("load", "MW", (0.1, 0.5, 0.9), (1.0, 1.0, 1.0), (), 0)
    inputs = tuple(
        TensorInfo(name, "float32", (Dim(), rows, 1)) for name, rows in (("past", 48), ("future", 6))
    )
    outputs = (TensorInfo("quantiles", "float32", (Dim(), 6, 3)),)
    spec = _spec("hours", fed, read, (Graph("main", inputs, outputs),), ("spread",))
    return _write(
        folder / "hours.onnx", spec, [graph], [hourly_table(60, seed).to_csv("time") for seed in (0, 1)]
    )


def _painter(folder: Path) -> Path:
    """Negatives, of any size."""
    graph = f"""{_HEAD} negative (uint8[batch,high,wide,3] image) => (uint8[batch,high,wide,3] picture)
    <uint8 white = {{255}}> {{ picture = Sub(white, image) }}"""
    light = light_spec().input
    own = {name: getattr(light, name) for name in vars(light)}
    own.update(channels="rgb", size_wh=(32, 32), mean=(0.0,) * 3, std=(1.0,) * 3)
    fed = FreeImageInput(**own, smallest_px=8, largest_px=256, multiple_px=4)
    shape = (Dim(), Dim(8), Dim(8), 3)
    graphs = (
        Graph("main", (TensorInfo("image", "uint8", shape),), (TensorInfo("picture", "uint8", shape),)),
    )
    spec = _spec("negative", fed, PictureOutput("rgb"), graphs, (*fed.bakeable, "to_uint8"))
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[..., 0], photo[:20, :, 1] = 200, 255
    return _write(folder / "negative.onnx", spec, [graph], [fed.encode(Image.fromarray(photo))])


def _generator(folder: Path) -> Path:
    """Noise, made visible."""
    graph = f"""{_HEAD} noise (float[batch,64] noise) => (uint8[batch,8,8,1] picture)
    <int64[4] shape = {{-1, 8, 8, 1}}, float low = {{0.0}}, float high = {{255.0}},
     float each = {{50.0}}, float middle = {{128.0}}>
    {{
    square = Reshape(noise, shape)
    spread = Mul(square, each)
    levels = Add(spread, middle)
    kept = Clip(levels, low, high)
    picture = Cast<to=2>(kept)
    }}"""
    inputs = (TensorInfo("noise", "float32", (Dim(), 64)),)
    outputs = (TensorInfo("picture", "uint8", (Dim(), 8, 8, 1)),)
    graphs = (Graph("main", inputs, outputs),)
    spec = _spec("snow", NoiseInput(64), PictureOutput("grey"), graphs, ("to_uint8",))
    return _write(folder / "snow.onnx", spec, [graph], [3, 4])


def _writer(folder: Path) -> Path:
    """Every word is followed by the next of `WORDS`, the last of which ends the text."""
    fed = PromptInput(**{**vars(text_input(truncation_side="left", max_tokens=16)), "start_id": 0})
    read = GeneratedTextOutput(len(WORDS), 16, (len(WORDS) - 1,), (), 8)
    spec = _spec("words", fed, read, _writer_graphs(fed), ())
    return _write(folder / "words.onnx", spec, _writer_programs(), ["good", "a good film"])


def _writer_programs() -> list[str]:
    count = len(WORDS)
    follow = """
    following = Add(%s, one)
    inside = Mod(following, count)
    logits = OneHot(inside, count, choice)
    """
    constants = f"int64 one = {{1}}, int64 count = {{{count}}}, float[2] choice = {{0.0, 40.0}}"
    main = f"""{_HEAD} main (int64[batch,length] input_ids, int64[batch,length] attention_mask)
    => (float[batch,length,{count}] logits,
    float[batch,length,1,1,1] keys, float[batch,length,1,1,1] values)
    <{constants}, int64[3] behind = {{2, 3, 4}}>
    {{ {follow % "input_ids"}
    floats = Cast<to=1>(input_ids)
    keys = Unsqueeze(floats, behind)
    values = Identity(keys)
    }}"""
    step = f"""{_HEAD} step (int64[batch,1] token, float[batch,before,1,1,1] keys,
    float[batch,before,1,1,1] values, int64[batch,1] length)
    => (float[batch,{count}] logits, float[batch,1,1,1,1] key, float[batch,1,1,1,1] value)
    <{constants}, int64[3] behind = {{2, 3, 4}}, int64[1] axis = {{1}}>
    {{
    alone = Squeeze(token, axis)
    {follow % "alone"}
    floats = Cast<to=1>(token)
    key = Unsqueeze(floats, behind)
    value = Identity(key)
    }}"""
    return [main, step]


def _writer_graphs(fed: PromptInput) -> tuple[Graph, ...]:
    count, lengths = len(WORDS), Dim(1, 16)
    cache = (Dim(), lengths, 1, 1, 1)
    return (
        Graph(
            "main",
            fed.tensors(),
            (
                TensorInfo("logits", "float32", (Dim(), lengths, count)),
                TensorInfo("keys", "float32", cache),
                TensorInfo("values", "float32", cache),
            ),
        ),
        Graph(
            "step",
            (
                TensorInfo("token", "int64", (Dim(), 1)),
                TensorInfo("keys", "float32", cache),
                TensorInfo("values", "float32", cache),
                TensorInfo("length", "int64", (Dim(), 1)),
            ),
            (
                TensorInfo("logits", "float32", (Dim(), count)),
                TensorInfo("key", "float32", (Dim(), 1, 1, 1, 1)),
                TensorInfo("value", "float32", (Dim(), 1, 1, 1, 1)),
            ),
        ),
    )


def _decoder(folder: Path) -> Path:
    """Whatever is read, ``a-b-c`` is written, while every word is looked at alike."""
    fed = text_input()
    read = DecodedTextOutput(("<end>", "<start>", "a", "b", "c"), "-", 1, 0, 6, 8, 1, 1.0)
    spec = _spec("letters", fed, read, _decoder_graphs(fed), ())
    return _write(folder / "letters.onnx", spec, _decoder_programs(), ["a good film"])


def _decoder_programs() -> list[str]:
    main = f"""{_HEAD} main (int64[batch,length] input_ids, int64[batch,length] attention_mask)
    => (float[batch,length,1] memory, float[batch,length,1] keys,
    float[batch,1,1] hidden, float[batch,1,1] cell)
    <int64[1] behind = {{2}}, int64[1] axis = {{1}}, float zero = {{0.0}}>
    {{
    floats = Cast<to=1>(input_ids)
    memory = Unsqueeze(floats, behind)
    keys = Identity(memory)
    summed = ReduceSum(memory, axis)
    hidden = Mul(summed, zero)
    cell = Identity(hidden)
    }}"""
    step = f"""{_HEAD} step (int64[batch,1] token, float[batch,1,1] hidden, float[batch,1,1] cell,
    float[batch,length,1] memory, float[batch,length,1] keys, int64[batch,length] attention_mask)
    => (float[batch,5] logits, float[batch,length] looked,
    float[batch,1,1] next_hidden, float[batch,1,1] next_cell)
    <float one = {{1.0}}, float two = {{2.0}}, float five = {{5.0}}, int64 count = {{5}},
     int64[1] axis = {{1}},
     int64[2] both = {{1, 2}}, float[2] choice = {{0.0, 9.0}}>
    {{
    place = Squeeze(hidden, both)
    later = Add(place, two)
    inside = Mod<fmod=1>(later, five)
    chosen = Cast<to=7>(inside)
    logits = OneHot(chosen, count, choice)
    there = Cast<to=1>(attention_mask)
    many = ReduceSum(there, axis)
    looked = Div(there, many)
    next_hidden = Add(hidden, one)
    next_cell = Identity(cell)
    }}"""
    return [main, step]


def _decoder_graphs(fed: TextInput) -> tuple[Graph, ...]:
    read_length, state = Dim(1, 8), (Dim(), 1, 1)
    memory = [TensorInfo(name, "float32", (Dim(), read_length, 1)) for name in ("memory", "keys")]
    carried = [TensorInfo(name, "float32", state) for name in ("hidden", "cell")]
    mask = fed.tensors()[1]
    return (
        Graph("main", fed.tensors(), (*memory, *carried)),
        Graph(
            "step",
            (TensorInfo("token", "int64", (Dim(), 1)), *carried, *memory, mask),
            (
                TensorInfo("logits", "float32", (Dim(), 5)),
                TensorInfo("looked", "float32", (Dim(), read_length)),
                *(replace(info, name=f"next_{info.name}") for info in carried),
            ),
        ),
    )


def _embedder(folder: Path) -> Path:
    path = write_light_embedding(folder / "colours.onnx")
    items = [read_artifact(path).spec.input.encode(Image.fromarray(plain(c))) for c in _COLOURS]
    return with_golden(path, items)


_COLOURS = ((255, 128, 128), (0, 128, 128))
"""Redder than grey, and less red: as unlike as can be."""


def _foreign(path: Path) -> Path:
    """A file of another tool: nothing is known of it but its arrays."""
    graph = f"""{_HEAD} foreign (float[n,3] features) => (float[n,3] doubled)
    <float two = {{2.0}}> {{ doubled = Mul(features, two) }}"""
    onnx.save(onnx.parser.parse_model(graph), path)
    return path


def _grey_spec(name: str, kind: OutputKind, outputs: tuple[TensorInfo, ...]) -> Spec:
    light = light_spec()
    baked = (*light.input.bakeable, *(step for step in kind.bakeable if step == "activation"))
    graphs = (Graph("main", light.graph().inputs, outputs),)
    return _spec(name, light.input, kind, graphs, baked)


def _spec(
    name: str, fed: InputKind, read: OutputKind, graphs: tuple[Graph, ...], baked: tuple[str, ...]
) -> Spec:
    light = light_spec()
    return Spec(light.version, name, name, fed, read, graphs, baked, Network("compact_cnn", {}))


def _write(path: Path, spec: Spec, graphs: Sequence[str], items: Sequence[Any]) -> Path:
    models = [onnx.parser.parse_model(graph) for graph in graphs]
    for model in models:
        onnx.checker.check_model(model)
    names = [graph.name for graph in spec.graphs]
    payload = join({n: m.SerializeToString() for n, m in zip(names, models, strict=True)})
    evidence = Evidence(PROVED, "2025-01-01T00:00:00Z", None, {}, TOLERANCE, None, (), {})
    write_artifact(path, payload, Manifest(MANIFEST_VERSION, spec, (), evidence, ""))
    return with_golden(path, items)


def with_golden(path: Path, items: Sequence[Any]) -> Path:
    """Give an artifact golden samples: its own answers to `items`."""
    with Predictor(path) as predictor:
        samples = make_golden_samples(predictor.spec, items, predictor.outputs)
    artifact = read_artifact(path)
    write_artifact(path, artifact.payload, replace(artifact.manifest, samples=samples))
    return path
