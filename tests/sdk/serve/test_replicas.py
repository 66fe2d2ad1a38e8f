"""Several processes behind one address."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.sdk.serve.askers import asking
from tests.sdk.serve.other_artifact import write_other_artifact
from tests.sdk.serve.processes import children, command, gone
from tests.sdk.serve.sockets import READY, ask, picture, post


@pytest.mark.slow
def test_replicas_start_again_swap_and_end_in_order(light_artifact: Path, tmp_path: Path) -> None:
    """One start of two processes, which takes the longest, for their whole life."""
    path = tmp_path / "light.onnx"
    path.write_bytes(light_artifact.read_bytes())
    with command(path, "--replicas", "2") as server:
        place = server.place()
        process_ids = children(server.process.pid)
        for _ in range(20):
            assert ask(place, post(picture(250))).json["results"][0]["label"] == "bright"
        metrics = ask(place, READY.replace(b"health/ready", b"metrics")).body.decode()
        served = [line for line in metrics.splitlines() if "requests_total{" in line and '"200"' in line]
        assert sum(float(line.split()[-1]) for line in served if "light" in line) == 20  # of both processes

        victim = next(number for number in process_ids if _is_replica(number))
        os.kill(victim, signal.SIGKILL)
        server.wait_for('"replica_ended".*"signal 9"')
        server.wait_for("replica_ready")

        write_other_artifact(path)
        server.send(signal.SIGHUP)
        server.wait_for('"swapped"')
        with asking(place, 4) as askers:
            askers.wait_for(20)
            server.send(signal.SIGTERM)
            assert server.end() == 0
            askers.stop()
            assert set(askers.counts) <= {"200", "refused"}, (askers.counts, askers.wrong)
        assert gone(process_ids | children(server.process.pid))


def test_replicas_that_cannot_start_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    path = write_other_artifact(tmp_path / "light.onnx", wrong_proof=True)
    with command(path, "--replicas", "2") as server:
        server.wait_for("as it was proved")
        assert server.end() == 2
        assert len(server.lines) == 1


@pytest.mark.slow
def test_replicas_end_when_their_supervisor_is_killed(light_artifact: Path) -> None:
    with command(light_artifact, "--replicas", "2") as server:
        server.place()
        process_ids = children(server.process.pid)
        assert len(process_ids) >= 2
        server.process.kill()
        assert gone(process_ids)


@pytest.mark.slow
def test_second_signal_ends_all_replicas_at_once(light_artifact: Path) -> None:
    with command(light_artifact, "--replicas", "2", "--grace-s", "600") as server:
        server.place()
        process_ids = children(server.process.pid)
        server.send(signal.SIGTERM)
        server.send(signal.SIGINT)
        server.wait_for("ended at once")
        assert server.end() == 1
        assert gone(process_ids)


def _is_replica(process_id: int) -> bool:
    return b"spawn_main" in Path(f"/proc/{process_id}/cmdline").read_bytes()
