"""The module that is lowered."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Baked(nn.Module):
    """Prelude, network and head in a row.

    Attributes:
        prelude: From what the host delivers to what the network takes (a tensor, or a tuple of them), always
            in fp32.
        network: The checkpoint's network, called once.
        head: From what the network gives (a tensor, or a tuple of them) to what results are read from, one
            tensor or a tuple in the order of the graph's outputs, always in fp32.
    """

    def __init__(self, prelude: nn.Module, network: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.prelude = prelude
        self.network = network
        self.head = head

    def forward(self, *inputs: Tensor) -> Any:
        """Run all three."""
        fed = self.prelude(*inputs)
        return self.head(self.network(*fed) if isinstance(fed, tuple) else self.network(fed))


class MethodOf(nn.Module):
    """One of a network's methods as a module.

    Attributes:
        network: Whose.
        method: Its name.
    """

    def __init__(self, network: nn.Module, method: str) -> None:
        super().__init__()
        self.network = network
        self.method = method

    def forward(self, *inputs: Tensor) -> Any:
        """Call the method."""
        return getattr(self.network, self.method)(*inputs)


class AveragingHead(nn.Module):
    """A head behind which the views of each item are averaged, all items of the first view first."""

    def __init__(self, head: nn.Module, views: int) -> None:
        super().__init__()
        self.head = head
        self.views = views

    def forward(self, found: Any) -> Any:
        """From V * N rows to N."""
        outputs = self.head(found)
        if isinstance(outputs, tuple):
            return tuple(self._mean(output) for output in outputs)
        return self._mean(outputs)

    def _mean(self, output: Tensor) -> Tensor:
        return output.reshape(self.views, -1, *output.shape[1:]).mean(dim=0)
