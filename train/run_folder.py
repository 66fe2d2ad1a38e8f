"""The folder of one run: what lies in it, and when it may be written to."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes import DataError, UsageError
from sdk.atomic_write import atomic_write
from train.options import TrainOptions, first_difference, flag_of

RECORD_VERSION = 1


@dataclass(frozen=True)
class RunFolder:
    """Names inside one run's folder.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def record(self) -> Path:
        """``run.json``: options, and hashes of the data."""
        return self.root / "run.json"

    @property
    def best(self) -> Path:
        """Weights of the best epoch so far."""
        return self.root / "checkpoints" / "best.safetensors"

    @property
    def last(self) -> Path:
        """Full state after the last complete epoch."""
        return self.root / "checkpoints" / "last.safetensors"

    @property
    def logs(self) -> Path:
        """TensorBoard events."""
        return self.root / "logs"

    @property
    def samples(self) -> Path:
        """Pictures that a generator drew after each epoch."""
        return self.root / "samples"

    @property
    def metrics(self) -> Path:
        """Figures of the finished run."""
        return self.root / "metrics.json"

    def artifact(self, name: str) -> Path:
        """The finished checkpoint."""
        return self.root / f"{name}.safetensors"

    def require_free(self, options: TrainOptions) -> None:
        """Check, before anything slow, that the run may be written here; write nothing.

        Raises:
            UsageError: The folder holds something else, or a run that neither --resume nor --overwrite
                speaks of; or there is nothing to resume.
        """
        if self.root.exists() and not self.root.is_dir():
            raise UsageError(f"Option --out {self.root.name!r}", got="a file", expected="a folder",
                             fix="Choose another --out.")  # fmt: skip
        filled = self.root.is_dir() and any(self.root.iterdir())
        if options.resume:
            self._require_same_run(options)
        elif filled and not self.record.is_file():
            raise UsageError(
                f"Option --out {self.root.name!r}",
                got="a folder with other things in it",
                expected="a new or empty folder, or that of a run",
                fix="Choose another --out.",
            )
        elif filled and not options.overwrite:
            raise UsageError(
                f"Option --out {self.root.name!r}",
                got="the folder of an earlier run",
                expected="a new or empty folder",
                fix="Say --resume to continue it, --overwrite to replace it, or choose another --out.",
            )

    def begin(self, options: TrainOptions, data_sha256: dict[str, str]) -> None:
        """Make the folder ready and write its record; a resumed run keeps its own.

        Args:
            options: Of the run.
            data_sha256: Hash by split.

        Raises:
            DataError: The run that is resumed was started on other data.
        """
        if options.resume:
            self._require_same_data(data_sha256)
        else:
            self._clear()
        self.sweep()
        self.last.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "version": RECORD_VERSION,
            "task": options.task,
            "data": str(options.data),
            "data_sha256": data_sha256,
            "options": options.to_json(),
        }
        atomic_write(self.record, json.dumps(record, indent=2))

    def sweep(self) -> None:
        """Remove the temporary files of writes that were killed."""
        for folder in (self.root, self.last.parent, self.samples):
            for path in folder.glob(".*.part"):
                path.unlink(missing_ok=True)

    def read_record(self) -> dict[str, Any]:
        """The contents of ``run.json``.

        Raises:
            UsageError: There is none that can be read.
        """
        return read_record(self.record, "run")

    def _require_same_run(self, options: TrainOptions) -> None:
        require_same_options(options, self.read_record()["options"], "run")

    def _require_same_data(self, data_sha256: dict[str, str]) -> None:
        recorded = self.read_record().get("data_sha256", {})
        for split, digest in data_sha256.items():
            if recorded.get(split) != digest:
                raise DataError(
                    f"Data split {split!r}",
                    got="other contents than when the run was started",
                    expected="the same data",
                    fix="Restore the data, or start anew with --overwrite.",
                )

    def _clear(self) -> None:
        """Remove what a run writes, and nothing else."""
        if not self.record.is_file():
            return
        for folder in (self.best.parent, self.logs, self.samples):
            shutil.rmtree(folder, ignore_errors=True)
        for pattern in ("*.safetensors", "*.png", "metrics.json"):
            for path in self.root.glob(pattern):
                path.unlink()


def read_record(path: Path, what: str) -> dict[str, Any]:
    """The record that something which can be resumed keeps of its options.

    Args:
        path: A JSON file with a ``version`` and its ``options``.
        what: Whose record it is, for the message.

    Raises:
        UsageError: There is none that can be read.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if record["version"] != RECORD_VERSION or not isinstance(record["options"], dict):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"Option --resume with --out {path.parent.name!r}",
            got=f"no {what} to resume",
            expected=f"the folder of a {what} that was interrupted",
            fix=f"Check --out, or leave --resume out to start a {what}.",
        ) from error
    return record


def require_same_options(options: TrainOptions, recorded: dict[str, Any], what: str) -> None:
    """Refuse to resume under other options than those of the record.

    Raises:
        UsageError: One differs.
    """
    other = first_difference(options, recorded)
    if other is not None:
        name, now, then = other
        raise UsageError(
            f"Option --resume with {flag_of(name)}",
            got=repr(now),
            expected=f"{then!r}, as the {what} was started with",
            fix="Resume with the same options, or start anew with --overwrite.",
        )
