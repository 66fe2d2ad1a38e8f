"""What generator and discriminator learn from, and what keeps them from running away."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

LOSSES = ("hinge", "non-saturating")
R1_EVERY = 16
"""Batches between two penalties, each weighed so much more (Karras et al. 2020, "Analyzing and Improving the
Image Quality of StyleGAN", section 3.1: "lazy regularization")."""


class AdversarialLoss(nn.Module):
    """Both players' losses. The discriminator is part of it: it is trained, saved and moved with the rest.

    Pictures are float32 (N, C, H, W), 0..1.

    Args:
        discriminator: From pictures, -1..1, to logits (N,).
        dimensions: Numbers that a picture is made from.
        loss: ``hinge`` (Lim & Ye 2017, "Geometric GAN") or ``non-saturating`` (Goodfellow et al. 2014,
            "Generative Adversarial Nets", section 3).
        label_smoothing: By how much real pictures are less than surely real, for ``non-saturating``
            (Salimans et al. 2016, "Improved Techniques for Training GANs", section 3.4: one-sided).
        r1: Weight of the squared gradient at real pictures (R1 of Mescheder et al. 2018, "Which Training
            Methods for GANs do actually Converge?"); 0 is none.
        instance_noise: Deviation of the noise on all pictures at the start; see `noise_share`.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        *,
        dimensions: int,
        loss: str,
        label_smoothing: float,
        r1: float,
        instance_noise: float,
    ) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.noise_share = 1.0
        """What is left of the instance noise, 0..1; whoever trains lowers it (Sønderby et al. 2017,
        "Amortised MAP Inference for Image Super-resolution")."""
        self._dimensions = dimensions
        self._hinge = loss == "hinge"
        self._real_label = 1.0 - label_smoothing
        self._r1 = r1
        self._instance_noise = instance_noise

    def draw(self, count: int, device: torch.device) -> Tensor:
        """Fresh noise for `count` pictures."""
        return torch.randn(count, self._dimensions, device=device)

    def discriminator_loss(
        self, generator: nn.Module, real: Tensor, *, penalise: bool
    ) -> Mapping[str, Tensor]:
        """The discriminator's ``loss`` for a batch of real pictures and as many generated ones.

        Args:
            generator: In training mode; gets no gradient.
            real: Real pictures.
            penalise: Whether R1's penalty is due.
        """
        with torch.no_grad():
            fake = generator(self.draw(len(real), real.device))
        of_real, of_fake = self._judge(real), self._judge(fake)
        if self._hinge:
            loss = F.relu(1.0 - of_real).mean() + F.relu(1.0 + of_fake).mean()
        else:
            wanted = torch.full_like(of_real, self._real_label)
            loss = F.binary_cross_entropy_with_logits(of_real, wanted)
            loss = loss + F.binary_cross_entropy_with_logits(of_fake, torch.zeros_like(of_fake))
        if penalise and self._r1 > 0:
            loss = loss + self._r1 / 2 * R1_EVERY * self._squared_gradient(real)
        told_apart = ((of_real > 0).float().mean() + (of_fake < 0).float().mean()) / 2
        return {"loss": loss, "told_apart": told_apart}

    def generator_loss(self, generator: nn.Module, count: int, device: torch.device) -> Tensor:
        """The generator's loss for `count` pictures; the discriminator gets gradients, too."""
        of_fake = self._judge(generator(self.draw(count, device)))
        return -of_fake.mean() if self._hinge else F.softplus(-of_fake).mean()

    def _judge(self, pictures: Tensor) -> Tensor:
        """Logits in 32 bit, which the losses need whatever the networks compute in."""
        centred = 2.0 * pictures - 1.0
        if self._instance_noise > 0 and self.noise_share > 0:
            centred = centred + self._instance_noise * self.noise_share * torch.randn_like(centred)
        return self.discriminator(centred).float()

    def _squared_gradient(self, real: Tensor) -> Tensor:
        with torch.autocast(real.device.type, enabled=False):
            watched = (2.0 * real.float() - 1.0).requires_grad_(True)
            judged = self.discriminator(watched).sum()
            (gradient,) = torch.autograd.grad(judged, watched, create_graph=True)
        return gradient.square().flatten(1).sum(dim=1).mean()
