"""Ask how sensitive a checkpoint's layers are: data, splits and calibration for `export.sensitivity`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from export.calibration import FEWEST_SAMPLES, choose_calibration
from export.prove import Progress
from export.run_data import data_of_run
from export.sensitivity import LayerEffect, pruning_effects, quantisation_effects, some_of
from runtimes import UsageError
from runtimes.torch_runtime import load_network
from sdk.artifact import read_artifact
from train.start import require_checkpoint
from train.tasks import task_of


@dataclass(frozen=True)
class Question:
    """What to ask.

    Attributes:
        of: ``int8`` or ``pruning``.
        ratio: Share of channels to prune.
        granularity: Of int8 weights' scales.
        samples: How many to judge on.
    """

    of: str
    ratio: float
    granularity: str
    samples: int

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise UsageError(
                "Option --ratio", got=str(self.ratio), expected="between 0 and 1", fix="Correct it."
            )
        if self.samples < FEWEST_SAMPLES:
            raise UsageError("Option --samples", got=str(self.samples), expected=f"at least {FEWEST_SAMPLES}",
                             fix="Raise it.")  # fmt: skip

    @property
    def title(self) -> str:
        """For tables and pictures."""
        if self.of == "int8":
            return f"Each layer alone in int8 ({self.granularity})"
        return f"{self.ratio:.0%} of each layer's channels pruned, without recovery"


def measure_sensitivity(
    checkpoint: Path, data: Path | None, question: Question, progress: Progress
) -> list[LayerEffect]:
    """Effects of every layer, the worst first, on data that accuracy is not reported on.

    Raises:
        DataError: The data cannot be used.
        UsageError: The file is no checkpoint.
    """
    source = read_artifact(checkpoint)
    require_checkpoint(source)
    folder = data or data_of_run(source.path)
    task = task_of(source)
    proof = task.load_split(folder, task.proof_split(folder), source.spec)
    proof.require_truth(folder, "measuring what each layer loses")
    judged = "val" if proof.name != "val" else "train"
    part = some_of(task.load_split(folder, judged, source.spec), question.samples)
    network = load_network(source.program())
    if question.of == "pruning":
        return pruning_effects(network, source.spec, task, part, ratio=question.ratio, progress=progress)
    calibration = choose_calibration(task, folder, source.spec, proof)
    return quantisation_effects(
        network,
        source.spec,
        task,
        part,
        calibration=calibration,
        granularity=question.granularity,
        progress=progress,
    )
