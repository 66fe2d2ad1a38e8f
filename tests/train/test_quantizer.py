"""The quantizer for XNNPACK leaves alone what it was told to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from train.quantizer import make_quantizer, quiet


class Joining(nn.Module):
    """Joins the two parts of what it is given again."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat((features[:, :2] / 1000, features[:, 2:]), dim=1)


class Small(nn.Module):
    """A convolution, and behind it a head in which small and large numbers are joined."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.head = Joining()

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image))


@pytest.mark.parametrize(
    ("keep", "quantised"), [((), True), (("head",), False)], ids=["everything", "head kept"]
)
def test_concatenation_is_quantised_unless_it_is_kept(keep: tuple[str, ...], quantised: bool) -> None:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    torch.manual_seed(0)
    image = torch.rand(1, 3, 8, 8)
    with quiet():
        prepared = prepare_pt2e(
            torch.export.export(Small().eval(), (image,)).module(), make_quantizer(keep=keep)
        )
        prepared(image)
        graph = convert_pt2e(prepared).graph
    joint = next(node for node in graph.nodes if node.target == torch.ops.aten.cat.default)
    assert any("dequantize" in str(source.target) for source in joint.all_input_nodes) is quantised
    layer = next(node for node in graph.nodes if node.target == torch.ops.aten.conv2d.default)
    assert "dequantize" in str(layer.all_input_nodes[0].target)
