"""When a run's folder may be written to."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from runtimes import DataError, UsageError
from train.options import TrainOptions
from train.run_folder import RunFolder

DATA = {"train": "aa", "val": "bb"}


def _started(options: TrainOptions) -> RunFolder:
    folder = RunFolder(options.out)
    folder.require_free(options)
    folder.begin(options, DATA)
    return folder


def test_new_folder_is_made_with_its_record(quick: Callable[..., TrainOptions]) -> None:
    options = quick()
    folder = _started(options)
    record = json.loads(folder.record.read_text())
    assert record["data"] == str(options.data)
    assert record["options"]["epochs"] == options.epochs
    assert record["data_sha256"] == DATA


def test_require_free_writes_nothing(quick: Callable[..., TrainOptions]) -> None:
    options = quick()
    RunFolder(options.out).require_free(options)
    assert not options.out.exists()


def test_foreign_folder_is_never_touched(quick: Callable[..., TrainOptions]) -> None:
    options = quick(overwrite=True)
    options.out.mkdir()
    (options.out / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="got a folder with other things in it"):
        RunFolder(options.out).require_free(options)


def test_earlier_run_is_not_replaced_unasked(quick: Callable[..., TrainOptions]) -> None:
    _started(quick())
    with pytest.raises(UsageError, match="got the folder of an earlier run.*--resume.*--overwrite"):
        RunFolder(quick().out).require_free(quick())


def test_overwrite_clears_what_a_run_wrote_and_nothing_else(quick: Callable[..., TrainOptions]) -> None:
    folder = _started(quick())
    for path in (folder.last, folder.metrics, folder.artifact("product"), folder.root / "notes.txt"):
        path.write_text("x")
    folder.logs.mkdir()
    _started(quick(overwrite=True))
    kept = sorted(path.name for path in folder.root.iterdir())
    assert kept == ["checkpoints", "notes.txt", "run.json"]
    assert not folder.last.exists()


def test_resume_without_a_run_is_refused(quick: Callable[..., TrainOptions]) -> None:
    options = quick(resume=True)
    with pytest.raises(UsageError, match="got no run to resume"):
        RunFolder(options.out).require_free(options)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99, "options": {}}'], ids=repr)
def test_resume_with_a_broken_record_is_refused(quick: Callable[..., TrainOptions], text: str) -> None:
    folder = _started(quick())
    folder.record.write_text(text)
    with pytest.raises(UsageError, match="got no run to resume"):
        folder.require_free(quick(resume=True))


def test_resume_with_other_options_is_refused(quick: Callable[..., TrainOptions]) -> None:
    folder = _started(quick())
    with pytest.raises(UsageError, match="--resume with --lr: got 0.5, expected 0.001"):
        folder.require_free(quick(resume=True, lr=0.5))


def test_resume_on_other_data_is_refused(quick: Callable[..., TrainOptions]) -> None:
    folder = _started(quick())
    with pytest.raises(DataError, match="Data split 'val': got other contents"):
        folder.begin(quick(resume=True), {**DATA, "val": "cc"})


def test_out_that_is_a_file_is_refused(quick: Callable[..., TrainOptions]) -> None:
    options = quick()
    options.out.write_text("x")
    with pytest.raises(UsageError, match="got a file, expected a folder"):
        RunFolder(options.out).require_free(options)
