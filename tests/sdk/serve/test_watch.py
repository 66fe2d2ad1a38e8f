"""Models that are replaced while they answer."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimes import ArtifactError
from sdk.atomic_write import atomic_write
from sdk.serve.options import Named
from sdk.serve.watch import Watcher
from tests.sdk.serve.askers import asking
from tests.sdk.serve.other_artifact import write_other_artifact
from tests.served import running

EVERY_S = 0.01


class FakeTable:
    """Opens files whose text is a version's label; one that begins with "bad" cannot be."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.label = "first"

    def __getitem__(self, name: str) -> Any:
        return self

    def open(self, name: str, path: Path) -> Any:
        text = path.read_text()
        self.opened.append(text)
        if text == "bug":
            raise KeyError("inside")
        if text.startswith("bad"):
            raise ArtifactError("Artifact", got=text, expected="a good one", fix="Export it again.")
        self.label = text
        return self


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return atomic_write(tmp_path / "model.onnx", "first")


def _watched(file: Path, job: Callable[[Watcher], Any]) -> tuple[FakeTable, list[tuple[str, bool]]]:
    table, told = FakeTable(), []

    async def watch() -> None:
        watcher = Watcher([Named("m", file)], table, lambda *what: told.append(what))  # type: ignore[arg-type]
        await job(watcher)

    asyncio.run(watch())
    return table, told


def test_watcher_opens_a_file_that_was_replaced_and_once(file: Path) -> None:
    async def job(watcher: Watcher) -> None:
        await watcher.look()
        atomic_write(file, "second")
        await watcher.look()
        await watcher.look()

    table, told = _watched(file, job)
    assert (table.opened, table.label, told) == (["second"], "second", [("m", True)])


@pytest.mark.parametrize("text", ["bad", "bug"])
def test_watcher_keeps_the_old_version_and_says_so_once(
    file: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def job(watcher: Watcher) -> None:
        atomic_write(file, text)
        await watcher.look()
        await watcher.look()

    with caplog.at_level(logging.ERROR):
        table, told = _watched(file, job)
    assert (table.opened, table.label, told) == ([text], "first", [("m", False)])
    assert [record.getMessage() for record in caplog.records] == ["swap_refused"]
    assert caplog.records[0].fields["version"] == "first"  # type: ignore[attr-defined]


def test_watcher_survives_a_file_that_is_gone_and_comes_back(file: Path) -> None:
    async def job(watcher: Watcher) -> None:
        file.unlink()
        await watcher.look()
        file.write_text("second")
        await watcher.look()

    table, told = _watched(file, job)
    assert (table.label, told) == ("second", [("m", False), ("m", True)])


def test_watcher_waits_for_a_file_that_is_still_written(file: Path) -> None:
    async def job(watcher: Watcher) -> None:
        looking = asyncio.create_task(watcher.keep_looking(EVERY_S))
        with file.open("w") as growing:
            for _ in range(20):
                growing.write("a")
                growing.flush()
                await asyncio.sleep(EVERY_S / 4)
            growing.write("end")
        while not watcher._table.opened:  # type: ignore[attr-defined]
            await asyncio.sleep(EVERY_S)
        looking.cancel()

    table, _ = _watched(file, job)
    assert table.opened[-1] == "a" * 20 + "end"


def test_swap_under_load_loses_and_swaps_no_answer(light_artifact: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(light_artifact, tmp_path / "light.onnx"))
    others = [write_other_artifact(tmp_path / "other.onnx").read_bytes(), path.read_bytes()]
    with running({"light": path}, watch_s=0.02) as server, asking(server.place, 4) as askers:
        askers.wait_for(50)
        for number in range(6):
            before = len(askers.versions), sum(askers.versions.values())
            atomic_write(path, others[number % 2])
            askers.wait_for(60)
            assert sum(askers.versions.values()) > before[1]
        askers.stop()
        assert set(askers.counts) == {"200"}, (askers.counts, askers.wrong)
        assert len(askers.versions) == 2


def test_order_to_reload_swaps_without_watching(light_artifact: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(light_artifact, tmp_path / "light.onnx"))
    with running({"light": path}) as server, asking(server.place, 1) as askers:
        askers.wait_for(1)
        write_other_artifact(path)
        server.order(server.orders.reload)
        while len(askers.versions) < 2:
            askers.wait_for(1)
        askers.stop()
        assert set(askers.counts) == {"200"}


def test_file_that_fails_its_proof_is_not_swapped_in(
    light_artifact: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(shutil.copy(light_artifact, tmp_path / "light.onnx"))
    with running({"light": path}) as server, asking(server.place, 1) as askers:
        askers.wait_for(1)
        with caplog.at_level(logging.ERROR):
            write_other_artifact(path, wrong_proof=True)
            server.order(server.orders.reload)
            while not caplog.records:
                askers.wait_for(1)
        askers.wait_for(5)
        askers.stop()
        assert "as it was proved" in caplog.records[0].fields["reason"]  # type: ignore[attr-defined]
        assert (set(askers.counts), len(askers.versions)) == ({"200"}, 1)
