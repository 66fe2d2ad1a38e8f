"""A pytest fixture for latency: `latency(predictor, image).assert_not_slower_than("released.onnx")`.

Installed with the package; costs nothing until a test asks for the fixture. Each assertion is a whole
comparison of fresh processes, as `edgewright compare` makes it, and takes up to its budget.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdk.compare import Comparison
    from sdk.predictor import Predictor


class Latency:
    """What a test says of an artifact's latency.

    Args:
        artifact: The candidate, or a `Predictor` that has it open.
        items: Inputs, as files; none: the artifact's golden samples.
        options: Runtime options.
    """

    def __init__(self, artifact: Path, items: Sequence[Path], options: dict[str, Any]) -> None:
        self._artifact = artifact
        self._items = tuple(items)
        self._options = options

    def assert_not_slower_than(
        self, baseline: str | os.PathLike[str], *, max_slowdown: float = 1.05, budget_s: float = 60.0
    ) -> Comparison:
        """Compare with an artifact, or with a record that `edgewright compare --record` wrote (``.json``).

        A regression fails the test, and so does a latency that could not be decided on: a test that cannot
        tell must not pass.

        Args:
            baseline: What must not be faster.
            max_slowdown: From which ratio on it is a regression.
            budget_s: Longest time to measure, in seconds.

        Returns:
            The comparison, for tests that look closer.

        Raises:
            EdgewrightError: The two cannot be compared.
        """
        __tracebackhide__ = True
        from sdk.compare import PASS, Contestant, Limits, compare
        from sdk.compare.recording import compare_with_recording, read_recording
        from sdk.compare.report import as_text

        candidate = Contestant(self._artifact, self._items, self._options)
        path, limits = Path(baseline), Limits(latency=max_slowdown)
        if path.suffix.lower() == ".json":
            found = compare_with_recording(read_recording(path), candidate, limits, budget_s=budget_s)
        else:
            other = Contestant(path, self._items, self._options)
            found = compare(other, candidate, limits, budget_s=budget_s)
        if found.verdict != PASS:
            import pytest

            pytest.fail(as_text(found), pytrace=False)
        return found


def pytest_configure(config: Any) -> None:
    """Add the fixture. pytest is imported here: this package is importable without it."""
    import pytest

    class Fixtures:
        """What the plugin offers to tests."""

        @pytest.fixture
        def latency(self, tmp_path_factory: Any) -> Callable[..., Latency]:
            """`latency(predictor_or_path, *items, **options)`; items: files, bytes, PIL images or arrays."""

            def of(subject: Predictor | str | os.PathLike[str], *items: Any, **options: Any) -> Latency:
                artifact = Path(subject) if isinstance(subject, (str, os.PathLike)) else subject.artifact.path
                folder = tmp_path_factory.mktemp("latency")
                files = [_as_file(item, folder / str(number)) for number, item in enumerate(items)]
                return Latency(artifact, files, options)

            return of

    config.pluginmanager.register(Fixtures(), "edgewright-latency")


def _as_file(item: Any, name: Path) -> Path:
    """An item as a file that gives the same array."""
    import numpy as np
    from PIL import Image

    if isinstance(item, (str, os.PathLike)):
        return Path(item)
    if isinstance(item, (bytes, bytearray)):
        name.write_bytes(item)
        return name
    if isinstance(item, Image.Image):
        path = name.with_suffix(".png")
        item.save(path)
        return path
    path = name.with_suffix(".npy")
    np.save(path, np.asarray(item))
    return path
