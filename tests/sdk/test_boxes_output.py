"""Boxes: decoding, thresholds, suppression, and the way back to the original picture."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest

from runtimes import EngineError, SpecError
from sdk.kinds import OutputKind
from sdk.outputs.box_placing import place_boxes, share_boxes
from sdk.outputs.boxes import BoxOutput, CandidateBoxesOutput, FinalBoxesOutput
from tests.sdk.box_subjects import ANCHORS_WH, LABELS, STRIDES, candidates, grid_output, letterboxed, raw_maps
from tests.sdk.conftest import image_input, make_spec


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def candidate_boxes(**changes: object) -> CandidateBoxesOutput:
    fields: dict[str, object] = {
        "output": "output0",
        "layout": "values_first",
        "objectness": False,
        "box_format": "cxcywh",
        "extent_wh": (100.0, 50.0),
    }
    return CandidateBoxesOutput(LABELS, 0.25, 0.01, 0.5, 100, False, **{**fields, **changes})  # type: ignore[arg-type]


def final_boxes(**changes: object) -> FinalBoxesOutput:
    return FinalBoxesOutput(**{"labels": LABELS, "score_threshold": 0.25, "score_floor": 0.01, **changes})  # type: ignore[arg-type]


def test_decode_of_one_cell_by_hand() -> None:
    """Every number of the second anchor of the coarse map, in the cell of row 1 and column 2."""
    maps = {name: np.zeros_like(array) for name, array in raw_maps(0, 1).items()}
    maps["map_0"][0, 8:16, 1, 2] = [0.4, -1.2, 0.3, -0.5, 2.0, -1.0, 0.5, 3.0]
    found = grid_output().activate(maps, ())
    (pw, ph), stride, columns, rows = ANCHORS_WH[0][1], STRIDES[0], 4, 2
    x, y = (2 + sigmoid(0.4)) / columns, (1 + sigmoid(-1.2)) / rows
    w, h = pw * math.exp(0.3) / (stride * columns), ph * math.exp(-0.5) / (stride * rows)
    place = 1 * rows * columns + 1 * columns + 2
    wanted = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    np.testing.assert_allclose(found["boxes"][0, place], wanted, rtol=1e-5)
    scores = [sigmoid(2.0) * sigmoid(value) for value in (-1.0, 0.5, 3.0)]
    np.testing.assert_allclose(found["scores"][0, place], scores, rtol=1e-5)


def test_decode_counts_map_then_anchor_then_row_then_column() -> None:
    found = grid_output().activate(raw_maps(1), ())
    assert found["boxes"].shape == (2, 2 * (2 * 4 + 4 * 8), 4)
    assert found["scores"].shape == (2, 80, 3)
    maps = {name: np.zeros_like(array) for name, array in raw_maps(0, 1).items()}
    found = grid_output().activate(maps, ())
    centre = (found["boxes"][0, :, :2] + found["boxes"][0, :, 2:]) / 2
    np.testing.assert_allclose(centre[:4], [[(i + 0.5) / 4, 0.25] for i in range(4)], rtol=1e-6)
    np.testing.assert_allclose(centre[16:24], [[(i + 0.5) / 8, 0.125] for i in range(8)], rtol=1e-6)
    size = found["boxes"][0, :, 2:] - found["boxes"][0, :, :2]
    np.testing.assert_allclose(size[0], [32 / 128, 16 / 64], rtol=1e-6)
    np.testing.assert_allclose(size[-1], [16 / 128, 12 / 64], rtol=1e-6)


def test_decode_of_an_overflowing_network_is_finite_and_bounded() -> None:
    maps = {name: np.full_like(array, 1e4) for name, array in raw_maps(0, 1).items()}
    with np.errstate(over="raise"):
        found = grid_output().activate(maps, ())
    assert np.isfinite(found["boxes"]).all()
    np.testing.assert_array_equal(found["scores"], 1.0)


def test_activate_of_a_graph_that_decodes_changes_nothing() -> None:
    given = candidates([[0, 0, 1, 1]], [[0.1, 0.2, 0.3]])
    found = grid_output().activate(given, ("decode",))
    assert all(found[name] is given[name] for name in given)


@pytest.mark.parametrize("anchors", [3, 1])
def test_anchors_that_do_not_fit_the_channels_are_named(anchors: int) -> None:
    output = grid_output(anchors_wh=(ANCHORS_WH[0][:1] * anchors, ANCHORS_WH[1]))
    expected = (
        rf"Output 'map_0': got 16 channels for {anchors} anchors, expected {8 * anchors}: {anchors} times"
    )
    with pytest.raises(SpecError, match=expected):
        output.activate(raw_maps(0), ())


def test_candidates_of_both_layouts_say_the_same() -> None:
    generator = np.random.default_rng(0)
    values = generator.random((2, 9, 7)).astype(np.float32)
    first = candidate_boxes().activate({"output0": values.transpose(0, 2, 1)}, ())
    assert first["boxes"].shape == (2, 9, 4)
    cx, cy, w, h = values[1, 3, :4]
    wanted = [(cx - w / 2) / 100, (cy - h / 2) / 50, (cx + w / 2) / 100, (cy + h / 2) / 50]
    np.testing.assert_allclose(first["boxes"][1, 3], wanted, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(first["scores"], values[..., 4:])
    last = candidate_boxes(layout="values_last").activate({"output0": values}, ())
    np.testing.assert_array_equal(last["boxes"], first["boxes"])


def test_candidates_objectness_is_a_factor_and_corners_stay() -> None:
    values = np.array([[[10, 5, 50, 25, 0.5, 0.2, 0.4, 1.0]]], np.float32)
    output = candidate_boxes(layout="values_last", objectness=True, box_format="xyxy")
    found = output.activate({"output0": values}, ())
    np.testing.assert_allclose(found["boxes"], [[[0.1, 0.1, 0.5, 0.5]]], rtol=1e-6)
    np.testing.assert_allclose(found["scores"], [[[0.1, 0.2, 0.5]]], rtol=1e-6)


def test_candidates_with_another_number_of_classes_are_named() -> None:
    with pytest.raises(
        EngineError, match="Output 'output0': got 9 values per candidate, expected 7: 4 and one"
    ):
        candidate_boxes(layout="values_last").activate({"output0": np.zeros((1, 7, 9), np.float32)}, ())


def test_read_maps_a_letterboxed_box_back_to_the_original() -> None:
    """640×480 in 128×64: scale 64/480, 85 pixels wide, 21 from the left."""
    sample = letterboxed()
    box = np.array([[100.0, 48.0, 500.0, 240.0]], np.float32)
    shares = share_boxes(box, sample)
    np.testing.assert_allclose(shares[0, [1, 3]], [0.1, 0.5], rtol=1e-6)
    np.testing.assert_allclose(shares[0, [0, 2]], [(100 * 85 / 640 + 21) / 128, (500 * 85 / 640 + 21) / 128])
    (result,) = grid_output().read(candidates(shares.tolist(), [[0, 0.9, 0]]), [sample])
    np.testing.assert_allclose(result.boxes_xyxy, box, atol=1e-3)
    assert (result.labels, result.class_ids.tolist()) == (("dog",), [1])
    assert result.source is sample.source
    assert result.size_wh == (640, 480)


def test_read_clips_to_the_picture_and_drops_what_lies_in_the_padding() -> None:
    sample = letterboxed()
    boxes = [[-1, -1, 2, 2], [0.0, 0.1, 0.1, 0.3]]  # more than everything; the grey bar on the left
    (result,) = grid_output().read(candidates(boxes, [[0.9, 0, 0], [0.8, 0, 0]]), [sample])
    np.testing.assert_allclose(result.boxes_xyxy, [[0, 0, 640, 480]])
    placed, inside = place_boxes(np.array(boxes, np.float32), sample)
    assert inside.tolist() == [True, False]
    assert placed.dtype == np.float32


def test_read_threshold_is_inclusive_and_measuring_goes_down_to_the_floor() -> None:
    apart = [[0.3, 0, 0.4, 0.5], [0.5, 0, 0.6, 0.5], [0.7, 0, 0.8, 0.5]]
    found = candidates(apart, [[0.5, 0, 0], [0, 0.499, 0], [0, 0, 0.009]])
    output = grid_output(score_threshold=0.5)
    (result,) = output.read(found, [letterboxed()])
    assert result.labels == ("cat",)
    (result,) = output.measuring().read(found, [letterboxed()])
    assert result.labels == ("cat", "dog")


@pytest.mark.parametrize(("multi_label", "labels"), [(False, ("cat",)), (True, ("cat", "dog"))])
def test_read_a_box_of_two_classes(multi_label: bool, labels: tuple[str, ...]) -> None:
    found = candidates([[0.3, 0.1, 0.6, 0.9]], [[0.8, 0.6, 0.1]])
    (result,) = grid_output(multi_label=multi_label).read(found, [letterboxed()])
    assert result.labels == labels


def test_read_of_several_pictures_keeps_them_apart() -> None:
    found = candidates([[0.3, 0.1, 0.6, 0.9]], [[0.8, 0.0, 0.0]], rows=3)
    found["scores"][1] = 0.0
    results = grid_output().read(found, [letterboxed() for _ in range(3)])
    assert [len(result) for result in results] == [1, 0, 1]
    assert results[1].boxes_xyxy.shape == (0, 4)
    assert results[0] == results[2] != results[1]


@pytest.mark.parametrize("name", ["boxes", "scores"])
def test_read_nan_is_an_error(name: str) -> None:
    found = candidates([[0.3, 0.1, 0.6, 0.9]], [[0.8, 0.6, 0.1]])
    found[name][0, 0, 1] = np.nan
    with pytest.raises(EngineError, match=f"Output '{name}': got NaN"):
        grid_output().read(found, [letterboxed()])


def test_suppressed_outputs_read_as_final_boxes_give_the_same_results() -> None:
    output, samples = grid_output(), [letterboxed(), letterboxed((300, 500))]
    activated = output.activate(raw_maps(4), ())
    final = output.final()
    suppressed = output.seen_as(final, activated)
    assert {name: array.shape for name, array in suppressed.items()} == {
        "boxes": (2, 100, 4),
        "scores": (2, 100),
        "classes": (2, 100),
    }
    assert final.read(suppressed, samples) == output.read(activated, samples)
    assert final.measuring().read(suppressed, samples) == output.measuring().read(activated, samples)
    assert len(output.read(activated, samples)[0]) > 5
    assert output.seen_as(output, activated) is activated


def test_final_boxes_are_sorted_and_a_class_past_the_labels_is_named() -> None:
    found = {
        "boxes": np.array([[[0.3, 0, 0.4, 1], [0.5, 0, 0.6, 1], [0, 0, 0, 0]]], np.float32),
        "scores": np.array([[0.3, 0.9, 0.0]], np.float32),
        "classes": np.array([[0, 2, 7]]),
    }
    (result,) = final_boxes().read(found, [letterboxed()])
    assert result.labels == ("cup", "cat"), "a row without a score may name any class"
    found["classes"][0, 0] = 3
    with pytest.raises(EngineError, match=r"Output 'classes': got 2\.\.3, expected 0\.\.2"):
        final_boxes().read(found, [letterboxed()])


def test_difference_of_candidates_ignores_boxes_that_nobody_reads() -> None:
    output = grid_output()
    one, other = (
        candidates([[0.1, 0.1, 0.5, 0.5], [0.0, 0.0, 1.0, 1.0]], [[0.9, 0, 0], [0, 0.001, 0]]) for _ in "ab"
    )
    other["boxes"][0, 1] = [-5, 0.2, 0.3, 7]
    assert output.difference(one, other) == 0.0
    other["boxes"][0, 0, 2] = 0.6
    assert output.difference(one, other) == pytest.approx(0.1, rel=1e-5)
    other["scores"][0, 1, 2] = 0.3
    assert output.difference(one, other) == pytest.approx(0.7, rel=1e-5), "the second box is read now"
    other["scores"][0, 0, 0] = np.nan
    assert output.difference(one, other) == math.inf
    kept = {name: array.reshape(1, -1)[:, :6] for name, array in one.items()}
    assert output.difference(kept, kept) == 0.0, "golden samples keep some numbers only"


def test_difference_of_final_boxes_pairs_them_up() -> None:
    output = final_boxes()
    boxes = np.array([[[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9], [0, 0, 0, 0]]], np.float32)
    one = {"boxes": boxes, "scores": np.array([[0.9, 0.4, 0]]), "classes": np.array([[0, 1, 0]])}
    swapped = {name: array[:, [1, 0, 2]] for name, array in one.items()}
    assert output.difference(one, swapped) == 0.0
    moved = {**swapped, "boxes": swapped["boxes"] + np.float32(0.02)}
    assert output.difference(one, moved) == pytest.approx(0.02, rel=1e-4)
    alone = {**one, "scores": np.array([[0.9, 0, 0]])}
    assert output.difference(one, alone) == pytest.approx(0.4 - output.score_floor)
    assert output.difference(alone, one) == pytest.approx(0.4 - output.score_floor)
    other_class = {**one, "classes": np.array([[0, 2, 0]])}
    assert output.difference(one, other_class) == pytest.approx(0.4 - output.score_floor)


@pytest.mark.parametrize("output", [grid_output(), candidate_boxes(), final_boxes()], ids=lambda o: o.kind)
def test_json_gives_an_equal_output_back(output: BoxOutput) -> None:
    assert OutputKind.from_json(json.loads(json.dumps(output.to_json())), "spec.output") == output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ()}, "labels: .* one or more different names"),
        ({"labels": ("cat", "cat")}, "labels: .* one or more different names"),
        ({"score_threshold": 0.0}, "score_threshold: got 0.0, expected more than 0"),
        ({"score_floor": 1.5}, "score_floor: got 1.5"),
        ({"iou_threshold": 1.0}, "iou_threshold: got 1.0, expected between 0 and 1"),
        ({"max_detections": 0}, "max_detections: got 0, expected from 1 to 1000"),
        ({"anchors_wh": (((1.0, -1.0),), ((1.0, 1.0),))}, "anchors_wh: .* expected positive sizes"),
        ({"anchors_wh": ()}, "anchors_wh: .* expected positive sizes"),
        ({"strides": (32,)}, r"strides: got \(32,\), expected 2 whole numbers"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_fields_that_make_no_sense_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=rf"spec\.output\.{message}"):
        grid_output(**changes)


def test_spec_of_boxes_takes_one_view_of_a_picture() -> None:
    spec = make_spec(output=final_boxes(), baked=())
    with pytest.raises(
        SpecError, match=r"spec\.input\.views: got several views of a picture for .* expected one"
    ):
        replace(spec, input=image_input(views=("identity", "mirror")))


def test_decoding_and_suppression_of_2535_candidates_takes_under_two_milliseconds() -> None:
    """YOLOv3-tiny at 416 pixels, 80 classes; the quickest of many runs: what the work takes, undisturbed."""
    generator = np.random.default_rng(0)
    maps = {}
    for name, cells in (("map_0", 13), ("map_1", 26)):
        raw = generator.normal(0, 1, (1, 3, 85, cells, cells)).astype(np.float32)
        raw[:, :, 4] -= 8.0  # background, but for a few things that several cells see
        for thing in range(12):
            y, x = generator.integers(0, cells - 1, 2)
            raw[0, thing % 3, 4, y : y + 2, x : x + 2] = 3.0
            raw[0, thing % 3, 5 + thing, y : y + 2, x : x + 2] = 5.0
        maps[name] = raw.reshape(1, 255, cells, cells)
    labels = tuple(f"class {index}" for index in range(80))
    anchors = (((81.0, 82.0), (135.0, 169.0), (344.0, 319.0)), ((10.0, 14.0), (23.0, 27.0), (37.0, 58.0)))
    output, sample = grid_output(labels=labels, anchors_wh=anchors), letterboxed(size_wh=(416, 416))
    taken = []
    for _ in range(50):
        start = time.perf_counter()
        activated = output.activate(maps, ())
        (result,) = output.read(activated, [sample])
        taken.append(time.perf_counter() - start)
    assert activated["scores"].shape == (1, 2535, 80)
    assert len(result) > 10
    assert min(taken) < 2e-3
