"""Faster R-CNN without torchvision's resizing: the same answers, losses, and how it leaves for the device."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import detection
from torchvision.ops import FrozenBatchNorm2d

from export.data_dependent import require_holdable
from export.onnx_graph import lower_to_onnx
from export.recipe import Recipe
from runtimes import Dim, EngineError, Program, TensorInfo, UsageError, open_runtime
from sdk.outputs.boxes import FinalBoxesOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from tests.sdk.conftest import image_input
from train.networks.faster_rcnn import (
    FasterRcnn,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_resnet50_fpn,
)

NAME = "fasterrcnn_mobilenet_v3_large_320_fpn"
SIDE_PX = 320  # torchvision's own transform leaves this size alone
CLASSES, DETECTIONS = 3, 20
LABELS = ("cat", "dog", "cup")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# float32 sums in another order, through some 70 layers, on shares of the picture and probabilities.
TOLERANCE = 1e-4


def picture(seed: int) -> torch.Tensor:
    """Float (3, 320, 320) in 0..1: coarse patches, as a photo has more low frequencies than noise."""
    patches = torch.rand(1, 3, 10, 10, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(patches, (SIDE_PX, SIDE_PX), mode="bilinear")[0]


def tell_pictures_apart(network: nn.Module, spread: float = 0.3) -> None:
    """Statistics of real activations, and heads that answer differently to different regions: their logits
    spread by as much as the features do, times `spread`.
    """
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean of what was seen, from the first picture on
    network.train()
    with torch.no_grad():
        network.backbone(normalised(torch.stack([picture(seed) for seed in range(3)])))
        network.roi_heads.box_predictor.cls_score.weight.normal_(0, spread, generator=generator)
        network.rpn.head.cls_logits.weight.normal_(0, 0.05, generator=generator)
    network.eval()


def normalised(pictures: torch.Tensor) -> torch.Tensor:
    return (pictures - torch.tensor(MEAN).reshape(1, 3, 1, 1)) / torch.tensor(STD).reshape(1, 3, 1, 1)


@pytest.fixture(scope="module")
def network() -> FasterRcnn:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = fasterrcnn_mobilenet_v3_large_320_fpn(CLASSES, detections=DETECTIONS, score_floor=0.05)
    tell_pictures_apart(made)
    assert isinstance(made, FasterRcnn)
    return made


def test_forward_is_torchvisions_as_shares_without_background(network: FasterRcnn) -> None:
    theirs = getattr(detection, NAME)(
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES + 1,
        box_detections_per_img=DETECTIONS,
        box_score_thresh=0.05,
    ).eval()
    theirs.load_state_dict(network.state_dict())
    pictures = torch.stack([picture(3), picture(4)])
    with torch.no_grad():
        boxes, scores, classes = network(normalised(pictures))
        wanted = theirs(list(pictures))
    assert boxes.shape == (2, DETECTIONS, 4)
    assert classes.dtype == torch.int64
    for row, found in enumerate(wanted):
        count = len(found["scores"])
        assert count > 2
        np.testing.assert_allclose(boxes[row, :count] * SIDE_PX, found["boxes"], atol=0.01)
        np.testing.assert_allclose(scores[row, :count], found["scores"], atol=1e-5)
        np.testing.assert_array_equal(classes[row, :count] + 1, found["labels"])
        assert not scores[row, count:].any()


def test_box_coder_gives_boxes_of_every_class_even_of_no_region(network: FasterRcnn) -> None:
    for head, values in ((network.roi_heads, 4 * (CLASSES + 1)), (network.rpn, 4)):
        for count in (0, 5):
            decoded = head.box_coder.decode(torch.zeros(count, values), [torch.ones(count, 4)])
            assert decoded.shape == (count, values // 4, 4)


def test_losses_teach_boxes_and_classes_in_either_mode(network: FasterRcnn) -> None:
    images = normalised(torch.stack([picture(3), picture(4)]))
    targets = [
        (torch.tensor([[40.0, 40.0, 160.0, 200.0]]), torch.tensor([2])),
        (torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
    ]
    losses = network.losses(images, targets)
    assert set(losses) == {"loss", "class", "box", "objectness", "proposal_box"}
    parts = [value for name, value in losses.items() if name != "loss"]
    torch.testing.assert_close(losses["loss"], torch.stack(parts).sum())
    assert losses["loss"].requires_grad
    assert not network.rpn.training, "modes are put back"
    assert not network.roi_heads.training


def test_losses_fall_when_it_learns() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = fasterrcnn_mobilenet_v3_large_320_fpn(CLASSES)
        made.train()
        image = normalised(torch.zeros(1, 3, 96, 96))
        targets = [(torch.tensor([[20.0, 20.0, 70.0, 60.0]]), torch.tensor([1]))]
        optimiser = torch.optim.SGD(made.parameters(), lr=0.02, momentum=0.9)
        seen = []
        for _ in range(6):
            optimiser.zero_grad()
            loss = made.losses(image, targets)["loss"]
            loss.backward()
            optimiser.step()
            seen.append(loss.item())
    assert seen[-1] < 0.7 * seen[0]


@pytest.mark.parametrize(
    ("builder", "eps"),
    [(fasterrcnn_mobilenet_v3_large_320_fpn, 1e-5), (fasterrcnn_resnet50_fpn, 0.0)],
    ids=["mobilenet", "resnet50"],
)
def test_frozen_norm_replaces_every_batch_norm(builder: object, eps: float) -> None:
    network = builder(CLASSES, frozen_norm=True)  # type: ignore[operator]
    modules = list(network.modules())
    frozen = [module for module in modules if isinstance(module, FrozenBatchNorm2d)]
    assert len(frozen) > 40
    assert {module.eps for module in frozen} == {eps}
    assert not any(isinstance(module, nn.BatchNorm2d) for module in modules)


def spec() -> Spec:
    image = image_input(size_wh=(SIDE_PX, SIDE_PX), resize="letterbox", mean=MEAN, std=STD)
    graph = Graph(
        "main",
        (TensorInfo("image", "float32", (Dim(), 3, SIDE_PX, SIDE_PX)),),
        (
            TensorInfo("boxes", "float32", (Dim(), DETECTIONS, 4)),
            TensorInfo("scores", "float32", (Dim(), DETECTIONS)),
            TensorInfo("classes", "int64", (Dim(), DETECTIONS)),
        ),
    )
    output = FinalBoxesOutput(LABELS, 0.25, 0.05)
    network = Network(NAME, {"classes": CLASSES, "detections": DETECTIONS})
    return Spec(SPEC_VERSION, "two_stage", "detection", image, output, (graph,), (), network)


def test_onnx_of_one_picture_gives_the_same_boxes(network: FasterRcnn) -> None:
    _require_same_boxes(network)


@pytest.mark.slow
def test_onnx_of_the_large_network_gives_the_same_boxes() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = fasterrcnn_resnet50_fpn(CLASSES, detections=DETECTIONS, score_floor=0.05)
    tell_pictures_apart(made, spread=0.01)  # its features are larger: more would end all scores at 1
    _require_same_boxes(made)


def _require_same_boxes(network: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        payload, baked = lower_to_onnx(network, spec())
    assert baked.batch == Dim(1, 1)
    assert baked.baked == baked.input.bakeable
    with open_runtime(".onnx", Program(payload), threads=1) as runtime:
        best = []
        for seed in (3, 4, 5):
            pixels = (picture(seed) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            fed = baked.input.batch([baked.input.load(pixels)], baked.baked)
            found = runtime.run(fed)
            arrays = spec().input.batch([spec().input.load(pixels)], ())["image"]
            with torch.no_grad():
                boxes, scores, classes = (part.numpy() for part in network(torch.from_numpy(arrays)))
            wanted = {"boxes": boxes, "scores": scores, "classes": classes}
            assert baked.output.difference(found, wanted) < TOLERANCE
            assert (scores > 0).sum() > 2
            best.append(float(scores.max()))
        assert np.ptp(best) > 1e-3, "a network that says the same of all pictures would prove little"


def best_objectness(network: FasterRcnn, image: torch.Tensor) -> float:
    """The largest of all regions' logits."""
    maps, _ = network.rpn.head(list(network.backbone(image).values()))
    return max(float(one.max()) for one in maps)


def test_onnx_that_was_traced_where_nothing_is_finds_what_is_there(network: FasterRcnn) -> None:
    """The exporter follows one picture; that there is no region in it must not shape the graph."""
    from export.bakers.baked import Baked
    from export.data_dependent import trace_script

    grey, seen = torch.zeros(1, 3, SIDE_PX, SIDE_PX), normalised(picture(3)[None])
    made = copy.deepcopy(network)
    with torch.no_grad():
        best = [best_objectness(made, image) for image in (grey, seen)]
        assert best[1] > best[0] + 0.05
        made.rpn.score_thresh = float(torch.sigmoid(torch.tensor(best)).mean())
        assert not made(grey)[1].any()
        boxes, scores, classes = (part.numpy() for part in made(seen))
        assert scores.any()
        module = Baked(nn.Identity(), made, nn.Identity()).eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            payload, baked = trace_script(module, spec(), (grey,))
    with open_runtime(".onnx", Program(payload), threads=1) as runtime:
        found, nothing = runtime.run({"image": seen.numpy()}), runtime.run({"image": grey.numpy()})
    assert baked.output.difference(found, {"boxes": boxes, "scores": scores, "classes": classes}) < TOLERANCE
    assert not nothing["scores"].any()


@pytest.mark.parametrize("target", ["pte", "trt", "trt-onnx", "torch2trt"])
def test_targets_that_cannot_hold_it_name_the_operator(network: FasterRcnn, target: str) -> None:
    expected = (
        rf"Target '{target}': got a network with torchvision::nms and torchvision::roi_align, .* Export to"
    )
    with pytest.raises(EngineError, match=expected):
        require_holdable(network, target, Recipe())


def test_precisions_that_need_a_trace_are_refused(network: FasterRcnn) -> None:
    with pytest.raises(UsageError, match="Option --precision: got int8 for a network with torchvision::nms"):
        require_holdable(network, "onnx", Recipe("int8"))
    require_holdable(network, "onnx", Recipe())
    require_holdable(nn.Conv2d(3, 3, 1), "pte", Recipe("int8"))
