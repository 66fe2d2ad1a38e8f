"""Generator and discriminator."""

from __future__ import annotations

import pytest
import torch

from train.networks.dcgan import build, build_discriminator, doublings, next_side


@pytest.mark.parametrize(
    ("side", "times"),
    [
        (8, 1),
        (12, 1),
        (28, 2),
        (32, 3),
        (64, 4),
        (96, 4),
        (112, 4),
        (128, 5),
        (100, None),
        (30, None),
        (7, None),
    ],
)
def test_sides_are_small_ones_doubled(side: int, times: int | None) -> None:
    assert doublings(side) == times


@pytest.mark.parametrize(("side", "taken"), [(3, 8), (28, 28), (29, 32), (65, 80), (100, 112)])
def test_next_side_is_no_smaller(side: int, taken: int) -> None:
    assert next_side(side) == taken


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 40), (1, 12)])
@pytest.mark.parametrize("spectral", [True, False])
def test_networks_fit_each_other(channels: int, side: int, spectral: bool) -> None:
    generator = build(dimensions=6, channels=channels, side_px=side, width=4)
    discriminator = build_discriminator(channels, side, 4, spectral=spectral)
    pictures = generator(torch.randn(3, 6)).detach()
    assert pictures.shape == (3, channels, side, side)
    assert 0.0 <= float(pictures.min()) < float(pictures.max()) <= 1.0
    assert discriminator(2 * pictures - 1).shape == (3,)


def test_spectral_norm_bounds_every_weight() -> None:
    discriminator = build_discriminator(1, 28, 8, spectral=True).eval()
    layers = [m for m in discriminator.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    largest = [torch.linalg.matrix_norm(m.weight.flatten(1), 2).item() for m in layers]
    # The singular value is found by 15 power iterations when the norm is put on.
    assert len(largest) == 3
    assert all(value == pytest.approx(1.0, abs=0.1) for value in largest)


def test_discriminator_sees_how_a_batch_varies() -> None:
    discriminator = build_discriminator(1, 12, 4, spectral=True).eval()
    one, others = torch.rand(1, 1, 12, 12), torch.rand(7, 1, 12, 12)
    alike = discriminator(one.expand(8, 1, 12, 12))[0]
    among_others = discriminator(torch.cat([one, others]))[0]
    assert abs((alike - among_others).item()) > 1e-4


@pytest.mark.parametrize(
    "arguments",
    [{"side_px": 30}, {"channels": 2}, {"dimensions": 0}, {"width": 0}],
    ids=["side", "channels", "dimensions", "width"],
)
def test_build_refuses_what_cannot_be(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="side_px"):
        build(**arguments)
