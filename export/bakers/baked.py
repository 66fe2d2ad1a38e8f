"""The module that is lowered."""

from __future__ import annotations

from torch import Tensor, nn


class Baked(nn.Module):
    """Prelude, network and head in a row.

    Attributes:
        prelude: From what the host delivers to what the network takes, always in fp32.
        network: The checkpoint's network, called once.
        head: From what the network gives to what results are read from, always in fp32.
    """

    def __init__(self, prelude: nn.Module, network: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.prelude = prelude
        self.network = network
        self.head = head

    def forward(self, *inputs: Tensor) -> Tensor:
        """Run all three."""
        output: Tensor = self.head(self.network(self.prelude(*inputs)))
        return output
