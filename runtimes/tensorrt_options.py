"""What to build with TensorRT, checked before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from runtimes.base import Dim, TensorInfo
from runtimes.errors import UsageError
from runtimes.tensorrt_layers import DTYPE_OF

DEFAULT_MAX_BATCH = 16
ShapeRange = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class BuildOptions:
    """What to build.

    Attributes:
        precision: ``fp32``, ``fp16``, ``int8``, or None for what the graph is in.
        max_batch: Largest batch where the graph's batch axis varies; None for `DEFAULT_MAX_BATCH`. A
            graph of fixed batch takes only its own.
        opt_batch: Batch to be fastest at; None for 1, as a camera feeds it.
        workspace_mb: Most GPU memory that layers may use while running, in MiB; None for TensorRT's
            own choice.
        compute_capabilities: For TensorRT-RTX: GPU generations such as ``SM89``; empty for the GPU at
            hand, or `runtimes.tensorrt_builder.AHEAD_OF_TIME` where there is none.
        package: ``tensorrt`` or ``tensorrt_rtx``; None for the first that can build here.
        shapes: For inputs with other varying axes than the batch: smallest, best and largest shape
            by input name.
        kept: ONNX nodes that the graph keeps in a higher precision on purpose.
        sparse: Let the builder choose kernels for weights that are 2:4 sparse. Dense weights gain nothing.

    Raises:
        UsageError: A value that means nothing.
    """

    precision: str | None = None
    max_batch: int | None = None
    opt_batch: int | None = None
    workspace_mb: int | None = None
    compute_capabilities: tuple[str, ...] = ()
    package: str | None = None
    shapes: dict[str, ShapeRange] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    sparse: bool = False

    def __post_init__(self) -> None:
        if self.precision not in (None, *DTYPE_OF):
            raise UsageError(
                "Option 'precision'",
                got=repr(self.precision),
                expected=f"one of {', '.join(DTYPE_OF)}",
                fix="Leave it out for a graph that carries its precision itself.",
            )
        for name in ("max_batch", "opt_batch", "workspace_mb"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise UsageError(
                    f"Option '{name}'",
                    got=repr(value),
                    expected="a whole number from 1",
                    fix="Leave it out for the default.",
                )
        if self.batch[0] > self.batch[1]:
            raise UsageError(
                "Option 'opt_batch'",
                got=str(self.batch[0]),
                expected=f"at most max_batch, {self.batch[1]}",
                fix="Raise max_batch, or lower opt_batch.",
            )

    @property
    def batch(self) -> tuple[int, int]:
        """Best and largest batch of a varying batch axis."""
        return self.opt_batch or 1, self.max_batch or DEFAULT_MAX_BATCH


def shape_ranges(inputs: Sequence[TensorInfo], max_batch: int) -> dict[str, ShapeRange]:
    """Smallest, best and largest shape of every input that has other open axes than the batch, by name.

    Args:
        inputs: Of one graph.
        max_batch: Largest extent of an open first axis.

    Raises:
        UsageError: Another axis has no end.
    """
    ranges: dict[str, ShapeRange] = {}
    for info in inputs:
        ends = [_ends(info, extent, max_batch if at == 0 else None) for at, extent in enumerate(info.shape)]
        if any(low != high for low, _, high in ends[1:]):
            smallest, best, largest = zip(*ends)  # noqa: B905 - every entry has three parts
            ranges[info.name] = (smallest, best, largest)
    return ranges


def _ends(info: TensorInfo, extent: int | Dim, batch: int | None) -> tuple[int, int, int]:
    """Smallest, best and largest extent of one axis: a batch is best at 1, all else at its largest."""
    if isinstance(extent, int):
        return extent, extent, extent
    if batch is not None:
        return extent.min, max(1, extent.min), batch
    if extent.max is None:
        raise UsageError(
            f"Input '{info.name}'",
            got=f"{info}, an axis without end",
            expected="a largest extent: TensorRT plans its memory ahead",
            fix="Export to onnx or pte, or train with an input of fixed size.",
        )
    return extent.min, extent.max, extent.max
