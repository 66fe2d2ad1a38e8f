"""The YOLO loss against cases that were worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from runtimes import SpecError
from sdk.outputs.box_decoding import decode_grid
from train.networks.yolov3 import yolov3
from train.yolo_loss import LossWeights, YoloLoss, decode_boxes

LN2 = math.log(2)
"""Binary cross-entropy of a logit of zero, whatever is true."""
PLAIN = LossWeights(1.0, 1.0, 1.0)
ASPECT = 4 / math.pi**2 * (math.atan(1 / 2) - math.atan(1)) ** 2
"""CIoU's v of a box half as wide as high, predicted as a square."""
HALF_AS_WIDE = 0.5 + ASPECT**2 / (0.5 + ASPECT)
"""What that costs when both share their centre and height: 1 - IoU + αv, with α = v / (1 - IoU + v)."""
CLOSE = 1e-5
"""The library's CIoU has 1e-7 in its denominators; float32 adds as much."""


def _loss(
    anchors_wh: tuple[tuple[tuple[float, float], ...], ...] = (((16, 16),),),
    strides: tuple[int, ...] = (16,),
    classes: int = 1,
    **options: float,
) -> YoloLoss:
    return YoloLoss(anchors_wh, strides, classes, weights=PLAIN, **options)


def _boxes(*rows: tuple[float, float, float, float], labels: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
    classes = torch.tensor(labels or (0,) * len(rows), dtype=torch.int64)
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4), classes


def _values(losses: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in losses.items()}


# All maps below are zero unless said: a prediction is then a box as large as its anchor, in the middle of its
# cell, with objectness and classes of one half.


def test_perfect_box_costs_nothing_and_each_logit_ln2() -> None:
    losses = _values(_loss()([torch.zeros(1, 6, 2, 2)], [_boxes((0, 0, 16, 16))]))
    # One answer, four cells that are asked for objectness, one class.
    assert losses == pytest.approx(
        {"box": 0, "objectness": 4 * LN2, "class": LN2, "loss": 5 * LN2}, abs=CLOSE
    )


@pytest.mark.parametrize(
    ("box", "cost"),
    [
        ((4, 0, 12, 16), HALF_AS_WIDE),
        # A quarter of the area and 2 px to the left: IoU 64/256, distance² 4 over diagonal² 512, same aspect.
        ((2, 4, 10, 12), 0.75 + 4 / 512),
    ],
    ids=["aspect", "distance"],
)
def test_box_costs_one_minus_ciou(box: tuple[float, float, float, float], cost: float) -> None:
    losses = _loss()([torch.zeros(1, 6, 2, 2)], [_boxes(box)])
    assert float(losses["box"]) == pytest.approx(cost, abs=CLOSE)


def test_object_belongs_to_the_likest_anchor_of_all_maps_and_to_its_centres_cell() -> None:
    maps = [torch.zeros(1, 12, 2, 2, requires_grad=True), torch.zeros(1, 12, 4, 4, requires_grad=True)]
    loss = _loss((((60, 60), (30, 60)), ((16, 16), (8, 24))), (32, 16))
    # 10 wide, 20 high, centre (41, 22): the last anchor, and of the finer map the cell in row 1, column 2.
    loss(maps, [_boxes((36, 12, 46, 32))])["box"].backward()
    coarse, fine = (each.grad for each in maps)
    assert coarse is not None
    assert fine is not None
    assert not coarse.any()
    touched = torch.nonzero(fine.unflatten(1, (2, 6)))
    assert {tuple(place[:2]) + tuple(place[3:]) for place in touched.tolist()} == {(0, 1, 1, 2)}
    assert {int(place[2]) for place in touched} <= {0, 1, 2, 3}


def test_prediction_that_overlaps_an_object_is_not_told_to_be_empty() -> None:
    # The second anchor's box overlaps the object by 14·16 / 16·16 = 0.875, without answering for it.
    maps, target = [torch.zeros(1, 12, 2, 2)], [_boxes((0, 0, 16, 16))]
    loss = (((16.0, 16.0), (14.0, 16.0)),)
    assert float(_loss(loss)(maps, target)["objectness"]) == pytest.approx(7 * LN2, abs=CLOSE)
    assert float(_loss(loss, ignore_iou=0.9)(maps, target)["objectness"]) == pytest.approx(8 * LN2, abs=CLOSE)


def test_answer_is_asked_however_well_it_fits() -> None:
    raw = torch.zeros(1, 6, 1, 1)
    raw[:, 4] = -3.0
    objectness = _loss()([raw], [_boxes((0, 0, 16, 16))])["objectness"]
    assert float(objectness) == pytest.approx(math.log1p(math.exp(3)), abs=CLOSE)


def test_further_anchors_answer_above_the_matching_overlap() -> None:
    maps, target = [torch.zeros(1, 12, 1, 1)], [_boxes((0, 0, 16, 16))]
    anchors = (((16.0, 16.0), (8.0, 16.0)),)
    alone, both = _loss(anchors)(maps, target), _loss(anchors, match_iou=0.4)(maps, target)
    assert float(alone["box"]) == pytest.approx(0, abs=CLOSE)
    assert float(both["box"]) == pytest.approx((0 + HALF_AS_WIDE) / 2, abs=CLOSE)
    assert float(both["objectness"]) == pytest.approx(2 * LN2 / 2, abs=CLOSE)


def test_classes_cost_their_summed_cross_entropy() -> None:
    raw = torch.zeros(1, 8, 1, 1)
    raw[0, 5:, 0, 0] = torch.tensor([2.0, -1.0, 0.5])
    losses = _loss(classes=3)([raw], [_boxes((0, 0, 16, 16), labels=(2,))])
    expected = math.log1p(math.exp(2)) + math.log1p(math.exp(-1)) + math.log1p(math.exp(-0.5))
    assert float(losses["class"]) == pytest.approx(expected, abs=CLOSE)


def test_pictures_without_objects_cost_only_objectness() -> None:
    losses = _values(_loss()([torch.zeros(2, 6, 2, 2)], [_boxes(), _boxes()]))
    # Eight cells over two pictures.
    assert losses == pytest.approx({"box": 0, "objectness": 4 * LN2, "class": 0, "loss": 4 * LN2}, abs=CLOSE)


def test_objects_of_one_picture_do_not_excuse_another() -> None:
    anchors = (((16.0, 16.0), (14.0, 16.0)),)
    losses = _loss(anchors)([torch.zeros(2, 12, 1, 1)], [_boxes((0, 0, 16, 16)), _boxes()])
    # The first picture's second anchor is ignored; both of the other picture's are asked. Two pictures.
    assert float(losses["objectness"]) == pytest.approx(3 * LN2 / 2, abs=CLOSE)


def test_terms_are_weighted_and_shared_by_the_answers() -> None:
    loss = YoloLoss((((16, 16),),), (16,), 1, weights=LossWeights(3.0, 0.5, 2.0))
    losses = _values(loss([torch.zeros(1, 6, 2, 2)], [_boxes((2, 4, 10, 12), (18, 20, 26, 28))]))
    box = 3 * (0.75 + 4 / 512)
    assert losses["box"] == pytest.approx(box, abs=CLOSE)
    assert losses["objectness"] == pytest.approx(0.5 * 4 * LN2 / 2, abs=CLOSE)
    assert losses["class"] == pytest.approx(2 * LN2, abs=CLOSE)
    assert losses["loss"] == pytest.approx(box + 3 * LN2, abs=2 * CLOSE)


def test_centre_on_the_far_edge_belongs_to_the_last_cell() -> None:
    raw = torch.zeros(1, 6, 2, 2, requires_grad=True)
    _loss()([raw], [_boxes((24, 24, 40, 40))])["class"].backward()
    assert raw.grad is not None
    assert torch.nonzero(raw.grad).tolist() == [[0, 5, 1, 1]]


def test_size_may_change_between_calls() -> None:
    loss = _loss()
    for rows, columns in ((1, 1), (3, 2)):
        objectness = loss([torch.zeros(1, 6, rows, columns)], [_boxes((0, 0, 16, 16))])["objectness"]
        assert float(objectness) == pytest.approx(rows * columns * LN2, abs=CLOSE)


def test_boxes_are_decoded_as_on_the_device() -> None:
    generator = torch.Generator().manual_seed(0)
    raw = 2 * torch.randn(2, 2, 6, 3, 4, generator=generator)
    anchors = ((20.0, 30.0), (50.0, 40.0))
    y, x = torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij")
    ours = decode_boxes(
        raw.permute(0, 1, 3, 4, 2), torch.tensor(anchors)[:, None, None], torch.stack((x, y), dim=2), 16
    )
    boxes, _ = decode_grid(raw.flatten(1, 2).numpy(), anchors, 16)
    pixels = boxes * np.array([64, 48, 64, 48], np.float32)
    np.testing.assert_allclose(ours.reshape(2, -1, 4).numpy(), pixels, rtol=1e-4, atol=1e-3)


def test_one_step_down_its_slope_lowers_the_loss_of_darknet53() -> None:
    torch.manual_seed(0)
    network = yolov3(classes=2, anchors=1).train()
    loss = YoloLoss((((40, 40),), ((24, 24),), ((10, 10),)), network.strides, 2)
    image = torch.rand(2, 3, 64, 64)
    # A box for each of the three maps: gradients have to reach every weight.
    target = [_boxes((8, 8, 48, 48)), _boxes((30, 34, 40, 44), (20, 30, 44, 54), labels=(1, 0))]
    before = loss(network(image), target)["loss"]
    before.backward()
    slopes = [parameter.grad for parameter in network.parameters()]
    assert all(slope is not None and bool(slope.isfinite().all()) and bool(slope.any()) for slope in slopes)
    with torch.no_grad():
        for parameter, slope in zip(network.parameters(), slopes, strict=True):
            parameter.sub_(1e-4 * slope)
        after = loss(network(image), target)["loss"]
    assert float(after) < float(before.detach())


def test_map_whose_channels_do_not_fit_the_anchors_is_refused() -> None:
    with pytest.raises(SpecError, match=r"12 channels for 1 anchors, expected 6"):
        _loss()([torch.zeros(1, 12, 2, 2)], [_boxes((0, 0, 16, 16))])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (_boxes((4, 4, 4, 8)), "right or lower side"),
        (_boxes((0, 0, 16, 16), labels=(1,)), r"classes 1\.\.1 of 1"),
    ],
    ids=["no area", "class"],
)
def test_target_that_cannot_be_is_refused(target: tuple[Tensor, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _loss()([torch.zeros(1, 6, 2, 2)], [target])


def test_anchors_and_strides_are_of_the_same_maps() -> None:
    with pytest.raises(ValueError, match="anchors for 1 maps, strides for 2"):
        YoloLoss((((16, 16),),), (16, 8), 1)
