"""Distillation: a student learns from a teacher's answers beside the labels, whatever the task's own loss.

Soft targets after Hinton, Vinyals & Dean 2015, "Distilling the Knowledge in a Neural Network"; the optional
feature loss is the activation-based attention transfer of Zagoruyko & Komodakis 2017, "Paying More Attention
to Attention", which compares where stages look and not in which channels, so that any widths go together.
Embeddings are taught by the angle to the teacher's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from runtimes import UsageError
from runtimes.torch_runtime import load_network
from sdk.kinds import OutputKind
from sdk.outputs.embedding import EmbeddingOutput
from sdk.spec import Spec
from train.networks.freezing import stages_of
from train.options import TrainOptions
from train.plan import Plan
from train.start import read_checkpoint

SoftLoss = Callable[[Tensor, Tensor], Tensor]
TaskLoss = Callable[[nn.Module, Any], Mapping[str, Tensor]]


def with_teacher(plan: Plan, options: TrainOptions) -> Plan:
    """The plan, with its loss wrapped where the options name a teacher.

    Raises:
        ArtifactError: The teacher cannot be read.
        UsageError: It is fed or read otherwise than the student.
    """
    if options.teacher is None:
        return plan
    teacher = read_checkpoint(options.teacher, "--teacher", options.task)
    _require_alike(plan.spec, teacher.spec, options.teacher.name)
    soft = soft_loss_of(plan.spec.output, options.distill_temperature)
    assert soft is not None
    loss = DistilledLoss(
        plan.loss,
        load_network(teacher.program()),
        soft=soft,
        weight=options.distill_weight,
        feature_weight=options.feature_weight,
    )
    told = {
        "teacher_sha256": teacher.manifest.payload_sha256,
        "temperature": options.distill_temperature,
        "weight": options.distill_weight,
        "feature_weight": options.feature_weight,
    }
    return replace(plan, loss=loss, facts={**plan.facts, "distillation": told})


def soft_loss_of(output: OutputKind, temperature: float) -> SoftLoss | None:
    """How far a student's raw answer is from its teacher's; None where answers of the kind cannot be taught.

    Args:
        output: How both are read.
        temperature: Softens class scores.
    """
    if isinstance(output, EmbeddingOutput):
        return cosine_distance
    if getattr(output, "activation", None) == "softmax":
        return partial(soft_target_loss, temperature=temperature)
    return None


class DistilledLoss(nn.Module):
    """A task's loss with the teacher's part: ``(1 - weight) * task + weight * soft + feature_weight * maps``.

    It watches the student through a forward hook, and so needs to know nothing of the task's batches.

    Args:
        task_loss: `Plan.loss`.
        teacher: Runs in eval mode without gradients on what the student was given.
        soft: From an answer of the student's and the teacher's to a scalar.
        weight: Of the soft targets, 0..1; the rest is the task's own loss.
        feature_weight: Of the attention maps; 0 leaves them out.
    """

    def __init__(
        self,
        task_loss: TaskLoss,
        teacher: nn.Module,
        *,
        soft: SoftLoss,
        weight: float,
        feature_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.task_loss = task_loss
        # In a tuple, so that it is no part of this module's state: a run's checkpoints need not hold it.
        self._teachers = (teacher.eval().requires_grad_(False),)
        self._soft = soft
        self._weight = weight
        self._feature_weight = feature_weight

    def forward(self, network: nn.Module, batch: Any) -> dict[str, Tensor]:
        """Named scalars: the task's own, ``task_loss``, ``soft_loss``, perhaps ``feature_loss``, ``loss``."""
        (guide,) = self._teachers
        with watched(network, self._feature_weight > 0) as student:
            losses = dict(self.task_loss(network, batch))
        with torch.no_grad(), watched(guide, self._feature_weight > 0) as teacher:
            guide.to(student.inputs[0].device)(*student.inputs)
        soft = sum(
            self._soft(mine, theirs) for mine, theirs in zip(student.outputs, teacher.outputs, strict=True)
        )
        losses |= {"task_loss": losses["loss"], "soft_loss": soft}
        losses["loss"] = (1.0 - self._weight) * losses["task_loss"] + self._weight * soft
        if self._feature_weight > 0:
            losses["feature_loss"] = attention_loss(student.maps, teacher.maps)
            losses["loss"] = losses["loss"] + self._feature_weight * losses["feature_loss"]
        return losses


@dataclass
class Watched:
    """What one forward pass took and gave.

    Attributes:
        inputs: Positional inputs of the network.
        outputs: Its outputs.
        maps: The last stage output (N, C, H, W) of each spatial size (H, W).
    """

    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    maps: dict[tuple[int, ...], Tensor] = field(default_factory=dict)


@contextmanager
def watched(network: nn.Module, with_maps: bool) -> Iterator[Watched]:
    """Note what passes through `network` in the with-block."""
    seen = Watched()

    def keep_ends(_module: nn.Module, inputs: tuple[Tensor, ...], outputs: Any) -> None:
        seen.inputs = inputs
        seen.outputs = tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)

    def keep_map(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and max(output.shape[2:]) > 1:
            seen.maps[tuple(output.shape[2:])] = output

    handles = [network.register_forward_hook(keep_ends)]
    if with_maps:
        handles += [stage.register_forward_hook(keep_map) for _, stage in stages_of(network)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def soft_target_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """``T² · KL(softmax(teacher / T) ‖ softmax(student / T))``, the mean over the batch.

    T² keeps the gradient's size when the temperature changes (Hinton et al. 2015, section 2).

    Args:
        student: Logits (N, classes, …).
        teacher: Logits of the same shape.
        temperature: T, positive.
    """
    log_student = F.log_softmax(student.float() / temperature, dim=1)
    log_teacher = F.log_softmax(teacher.float() / temperature, dim=1)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(dim=1)
    return temperature**2 * divergence.mean()


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine, the mean over the batch.

    Args:
        student: Vectors (N, D) of any length.
        teacher: Vectors of the same shape.
    """
    return (1.0 - F.cosine_similarity(student.float(), teacher.float(), dim=1)).mean()


def attention_loss(
    student: Mapping[tuple[int, ...], Tensor], teacher: Mapping[tuple[int, ...], Tensor]
) -> Tensor:
    """Squared distance of normalised attention maps, summed over the spatial sizes that both networks have.

    A map is the mean of squared activations over channels, flattened and of unit length (Zagoruyko &
    Komodakis 2017, equation 2, with p = 2).

    Raises:
        UsageError: There is no such size.
    """
    sizes = [size for size in student if size in teacher]
    if not sizes:
        raise UsageError(
            "Option --feature-weight",
            got="a teacher with no stage of the student's size",
            expected="stages of equal height and width in both networks",
            fix="Leave it out, or choose a teacher of the same family.",
        )
    distances = [(_attention(student[size]) - _attention(teacher[size])).pow(2) for size in sizes]
    return torch.stack([distance.sum(dim=1).mean() for distance in distances]).sum()


def _attention(features: Tensor) -> Tensor:
    return F.normalize(features.float().pow(2).mean(dim=1).flatten(1), dim=1)


def _require_alike(student: Spec, teacher: Spec, name: str) -> None:
    if soft_loss_of(student.output, 1.0) is None:
        raise UsageError(
            f"Option --teacher {name!r}",
            got="it for a task with answers of another kind",
            expected="a softmax over classes, or embeddings",
            fix="Leave it out.",
        )
    for what, mine, theirs in (
        ("preprocessing", student.input, teacher.input),
        ("classes", getattr(student.output, "labels", None), getattr(teacher.output, "labels", None)),
        (
            "dimensions",
            getattr(student.output, "dimensions", None),
            getattr(teacher.output, "dimensions", None),
        ),
    ):
        if mine != theirs:
            raise UsageError(
                f"Option --teacher {name!r}",
                got=f"other {what} than the student's",
                expected=f"the same {what}, since both see the same batch",
                fix="Start the student from it or from one of its kind: --from CHECKPOINT.",
            )
