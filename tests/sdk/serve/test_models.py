"""Versions: opened and proved, replaced, closed; and the service between requests and them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import ArtifactError, EngineError, InputError, UsageError
from sdk import Predictor
from sdk.serve.batching import Answer, ClosedError, DeadlineError, QueueFullError, Work
from sdk.serve.models import ModelTable
from sdk.serve.options import Batching, Named, ServeOptions, named
from sdk.serve.problems import ProblemError, problem_of
from sdk.serve.service import Service
from tests.sdk.serve.other_artifact import write_other_artifact
from tests.sdk.serve.sockets import picture

PATIENCE_S = 10.0


class Answers:
    """What a table delivers."""

    def __init__(self) -> None:
        self.outcomes: list[Any] = []
        self._some = threading.Condition()

    def __call__(self, outcomes: list[tuple[Work, Any]]) -> None:
        with self._some:
            self.outcomes += [outcome for _, outcome in outcomes]
            self._some.notify_all()

    def first(self, count: int) -> list[Any]:
        with self._some:
            assert self._some.wait_for(lambda: len(self.outcomes) >= count, PATIENCE_S)
        return self.outcomes[:count]


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def table(answers: Answers) -> Iterator[ModelTable]:
    table = ModelTable(Batching(), answers, {"threads": 1})
    yield table
    table.close()


def test_table_opens_and_answers_as_the_predictor_does(
    table: ModelTable, answers: Answers, light_artifact: Path
) -> None:
    version = table.open("light", light_artifact)
    items = [picture(grey) for grey in (250, 5, 130)]
    version.batcher.submit([Work(item) for item in items])
    found = [answer.result for answer in answers.first(3)]
    with Predictor(light_artifact, threads=1) as predictor:
        expected = predictor.predict(items)
    assert [one.label for one in found] == [one.label for one in expected]
    assert np.allclose([one.score for one in found], [one.score for one in expected], atol=1e-6)
    assert (list(table), len(table), table["light"].label) == (["light"], 1, version.label)
    assert len(version.label) == 12


def test_table_replaces_a_version_and_answers_what_the_old_one_took(
    table: ModelTable, answers: Answers, light_artifact: Path, tmp_path: Path
) -> None:
    old = table.open("light", light_artifact)
    old.batcher.submit([Work(picture(250)) for _ in range(100)])
    new = table.open("light", write_other_artifact(tmp_path / "other.onnx"))
    assert new.label != old.label
    assert table["light"] is new
    assert all(isinstance(answer, Answer) for answer in answers.first(100))
    with pytest.raises(ClosedError):
        old.batcher.submit([Work(picture(250))])
    with pytest.raises(EngineError):
        old.predictor.predict(picture(250))  # its memory is given back


@pytest.mark.parametrize("how", ["missing", "unproved"])
def test_table_keeps_the_old_version_where_the_new_one_is_bad(
    table: ModelTable, answers: Answers, light_artifact: Path, tmp_path: Path, how: str
) -> None:
    old = table.open("light", light_artifact)
    path = tmp_path / "bad.onnx"
    if how == "unproved":
        write_other_artifact(path, wrong_proof=True)
    with pytest.raises(ArtifactError):
        table.open("light", path)
    assert table["light"] is old
    old.batcher.submit([Work(picture(250))])
    assert answers.first(1)[0].result.label == "bright"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        pytest.param(["a/product.onnx"], ["product"], id="stem"),
        pytest.param(["shop=a.onnx", "b-1.2_c=a.onnx"], ["shop", "b-1.2_c"], id="named"),
    ],
)
def test_named_calls_models_by_their_stem_or_as_told(words: list[str], names: list[str]) -> None:
    assert [model.name for model in named(words)] == names


@pytest.mark.parametrize("words", [["a.onnx", "b/a.onnx"], ["a b.onnx"], ["=a.onnx"], ["ä=a.onnx"]])
def test_named_refuses_what_is_no_part_of_an_address(words: list[str]) -> None:
    with pytest.raises(UsageError, match="Model name"):
        named(words)


class TestService:
    """On an event loop of its own."""

    @pytest.fixture
    def ask(self, light_artifact: Path) -> Any:
        def ask(job: Any, **options: Any) -> Any:
            async def run() -> Any:
                wanted = ServeOptions(runtime={"threads": 1}, **options)
                service = Service(wanted, asyncio.get_running_loop())
                await asyncio.to_thread(service.open, [Named("light", light_artifact)])
                try:
                    return await job(service)
                finally:
                    await asyncio.to_thread(service.close)

            return asyncio.run(run())

        return ask

    def test_answers_in_the_order_of_the_items(self, ask: Any) -> None:
        async def job(service: Service) -> list[str]:
            works = [Work(picture(grey)) for grey in (250, 5) * 40]  # more than one batch
            version, answers = await service.answers("light", works, 10_000)
            assert version is service.version("light")
            return [answer.result.label for answer in answers]

        assert ask(job) == ["bright", "dark"] * 40

    def test_gives_the_first_error_of_several_items(self, ask: Any) -> None:
        async def job(service: Service) -> None:
            works = [Work(picture(250)), Work(b"no picture"), Work(b"")]
            await service.answers("light", works, 10_000)

        with pytest.raises(InputError, match="got 10 bytes that are no image"):
            ask(job)

    def test_gives_up_at_the_deadline(self, ask: Any) -> None:
        async def job(service: Service) -> None:
            await service.answers("light", [Work(picture(250))], 1e-6)

        with pytest.raises(DeadlineError):
            ask(job)

    def test_refuses_more_than_the_queue_holds(self, ask: Any) -> None:
        async def job(service: Service) -> None:
            await service.answers("light", [Work(picture(250)) for _ in range(33)], 10_000)

        with pytest.raises(QueueFullError):
            ask(job, batching=Batching(max_queue=32))

    @pytest.mark.parametrize(("ready", "status"), [(True, 404), (False, 503)])
    def test_tells_an_unknown_model_from_one_that_is_not_open_yet(
        self, ask: Any, ready: bool, status: int
    ) -> None:
        async def job(service: Service) -> None:
            service.ready = ready
            service.version("other")

        with pytest.raises(ProblemError) as caught:
            ask(job)
        assert caught.value.status == status

    def test_survives_versions_that_change_while_it_asks(
        self, ask: Any, light_artifact: Path, tmp_path: Path
    ) -> None:
        other = write_other_artifact(tmp_path / "other.onnx")

        async def job(service: Service) -> set[str]:
            labels = set()
            asked = True

            async def keep_asking() -> None:
                while asked:
                    version, answers = await service.answers("light", [Work(picture(250))], 10_000)
                    assert answers[0].result.label == "bright"
                    labels.add(version.label)

            tasks = [asyncio.create_task(keep_asking()) for _ in range(8)]
            for path in (other, light_artifact, other):
                await asyncio.to_thread(service.models.open, "light", path)
            while len(labels) < 2:
                await asyncio.sleep(0.01)
            asked = False
            await asyncio.gather(*tasks)
            return labels

        assert len(ask(job)) == 2


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        pytest.param(QueueFullError(0.2), 429, "1", id="queue-full"),
        pytest.param(QueueFullError(2.5), 429, "3", id="queue-full-for-long"),
        pytest.param(DeadlineError(), 504, None, id="deadline"),
        pytest.param(ClosedError(), 503, "1", id="closed"),
        pytest.param(InputError("a", got="b", expected="c", fix="d"), 422, None, id="input"),
        pytest.param(EngineError("a", got="b", expected="c", fix="d"), 500, None, id="engine"),
        pytest.param(UsageError("a", got="b", expected="c", fix="d"), 400, None, id="usage"),
        pytest.param(ProblemError(415, "no"), 415, None, id="problem"),
        pytest.param(KeyError("secret"), 500, None, id="a-bug"),
    ],
)
def test_problem_of_gives_every_error_its_status(
    error: Exception, status: int, retry_after: str | None
) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.headers.get("Retry-After")) == (status, retry_after)
    assert b"secret" not in problem.body()
