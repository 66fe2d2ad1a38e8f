"""What a demo shows: a model, as one or several opened artifacts that take and answer the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes import ArtifactError, EdgewrightError
from sdk.artifact import Artifact, read_artifact
from sdk.predictor import Predictor, Verification
from sdk.spec import Spec


@dataclass(frozen=True)
class Opened:
    """An artifact that is ready to predict, and what the replay of its golden samples showed here.

    Attributes:
        label: Its file name, with its folder where two have the same.
        predictor: Open for as long as the demo runs.
        proof: Of this machine.
    """

    label: str
    predictor: Predictor
    proof: Verification

    @property
    def artifact(self) -> Artifact:
        """The verified file."""
        return self.predictor.artifact

    @property
    def spec(self) -> Spec:
        """How it is fed and read."""
        return self.predictor.spec


@dataclass(frozen=True)
class LeftOut:
    """An artifact of the same model that this machine cannot run.

    Attributes:
        label: As that of `Opened`.
        artifact: The verified file.
        reason: What its engine said, in one line.
    """

    label: str
    artifact: Artifact
    reason: str


@dataclass(frozen=True)
class Subject:
    """One model.

    Attributes:
        name: For its tab.
        opened: At least one; the first is what others are compared with.
        left_out: Those that cannot run here.
    """

    name: str
    opened: tuple[Opened, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def spec(self) -> Spec:
        """Of the first artifact: all of them take and answer the same."""
        return self.opened[0].spec

    @property
    def labels(self) -> list[str]:
        """What the artifacts are called."""
        return [each.label for each in self.opened]

    def __getitem__(self, label: str) -> Opened:
        """The artifact called `label`.

        Raises:
            KeyError: There is none.
        """
        for each in self.opened:
            if each.label == label:
                return each
        raise KeyError(label)


def open_subjects(
    paths: Sequence[Path], stack: ExitStack, *, lenient: bool = False, options: Mapping[str, Any]
) -> list[Subject]:
    """Open artifacts, replay their golden samples, and put those of one contract together.

    Args:
        paths: Artifacts of any runtimes.
        stack: Closes them.
        lenient: Leave out, with the reason, what this machine has no engine or device for.
        options: Of `Predictor`.

    Raises:
        ArtifactError: A file is no artifact, or does not give its proved answers here.
        EngineError: An engine is missing, or the last one that was left.
        SpecError: A contract is of another version.
    """
    labels = _labels(paths)
    found: list[Opened | LeftOut] = []
    failures: list[EdgewrightError] = []
    for path, label in zip(paths, labels, strict=True):
        try:
            found.append(_open(path, label, stack, options))
        except EdgewrightError as error:
            if not lenient or isinstance(error, ArtifactError):
                raise
            failures.append(error)
            found.append(LeftOut(label, read_artifact(path), str(error)))
    groups: dict[str, list[Opened | LeftOut]] = {}
    for each in found:
        groups.setdefault(_contract(each.artifact.spec), []).append(each)
    subjects = [subject for group in groups.values() for subject in _subject(group)]
    if not subjects and failures:
        raise failures[0]
    return _named(subjects)


def _open(path: Path, label: str, stack: ExitStack, options: Mapping[str, Any]) -> Opened:
    predictor = stack.enter_context(Predictor(path, **options))
    proof = predictor.verify()
    if proof.samples and not proof.holds:
        raise ArtifactError(
            f"Artifact {path.name!r}",
            got=f"answers {proof.worst_difference:.2g} away from its proof on {proof.samples} golden samples",
            expected=f"at most {proof.tolerance:.2g}",
            fix="Export it again: a demo of wrong answers shows nothing.",
        )
    return Opened(label, predictor, proof)


def _subject(group: Iterable[Opened | LeftOut]) -> list[Subject]:
    opened = tuple(each for each in group if isinstance(each, Opened))
    left_out = tuple(each for each in group if isinstance(each, LeftOut))
    return [Subject(opened[0].spec.name, opened, left_out)] if opened else []


def _contract(spec: Spec) -> str:
    """What artifacts of one model have in common: the items they take, and what they call their answers.

    Sizes and lengths are not among it: they may differ with the engine, and a person's item fits all of them.
    """
    fed, read = spec.input.to_json(), spec.output.to_json()
    items = [fed.get(name) for name in ("kind", "time", "target", "past", "known", "tensors", "dimensions")]
    answers = [read.get(name) for name in ("labels", "tokens", "target", "dimensions", "vocabulary")]
    return repr((spec.task, items, read["kind"], answers))


def _labels(paths: Sequence[Path]) -> list[str]:
    """File names; of two that are the same, as much of their folders as tells them apart."""
    names = [path.name for path in paths]
    return [
        path.name if names.count(path.name) == 1 else str(Path(path.parent.name, path.name)) for path in paths
    ]


def _named(subjects: list[Subject]) -> list[Subject]:
    """Subjects with different names."""
    names = [subject.name for subject in subjects]
    return [
        subject
        if names.count(subject.name) == 1
        else Subject(f"{subject.name} ({subject.opened[0].label})", subject.opened, subject.left_out)
        for subject in subjects
    ]
