"""Where a prediction's time goes: preprocess, run, postprocess, and inside a GPU's run its copies.

The latencies that are reported come from untouched calls of `predict`. Phases are taken in a part of their
own, in which whole and dissected predictions of the same items alternate, so that the two can be compared.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from sdk.bench.figures import Phases
from sdk.predictor import Predictor

TYPICAL = (0.4, 0.6)
"""Phases are means over the predictions whose total lies between these quantiles: unlike medians of each
phase they add up to a total, and the total is about the median."""
WHOLE, PREPROCESS, RUN, POSTPROCESS = "predict", "preprocess", "run", "postprocess"


class PhaseClock:
    """Collects phases of one predictor.

    Args:
        predictor: Whose.
        batches: Lists of items for one call of the graph each, used in turn.
        single: Whether a whole prediction is asked for one item instead of a list.
    """

    def __init__(self, predictor: Predictor, batches: Sequence[Sequence[Any]], *, single: bool) -> None:
        self._predictor = predictor
        self._batches = batches
        self._single = single
        self._turn = 0
        self._seconds: dict[str, list[float]] = {WHOLE: [], PREPROCESS: [], RUN: [], POSTPROCESS: []}
        self._device_ms: dict[str, list[float]] = {}

    def block(self, seconds: float) -> None:
        """Alternate whole and dissected predictions for so long, at least one of each."""
        until = time.perf_counter() + seconds
        while True:
            # Whoever goes second finds the item in the processor's caches: they swap from turn to turn.
            first, second = (
                (self._whole, self._dissected) if self._turn % 2 else (self._dissected, self._whole)
            )
            batch = self._batches[self._turn // 2 % len(self._batches)]
            self._turn += 1
            first(batch)
            second(batch)
            self._device(batch)
            if time.perf_counter() >= until:
                return

    def result(self) -> Phases:
        """What is found so far."""
        parts = 1e3 * np.asarray([self._seconds[name] for name in (PREPROCESS, RUN, POSTPROCESS)])
        order, (low, high) = np.argsort(parts.sum(axis=0)), (int(share * parts.shape[1]) for share in TYPICAL)
        typical = parts[:, order[low : max(low + 1, high)]].mean(axis=1)
        device = {name: float(np.median(values)) for name, values in self._device_ms.items()}
        return Phases(
            preprocess_ms=float(typical[0]),
            run_ms=float(typical[1]),
            postprocess_ms=float(typical[2]),
            predict_ms=1e3 * float(np.median(self._seconds[WHOLE])),
            count=len(self._seconds[WHOLE]),
            device_ms=device or None,
        )

    def _whole(self, batch: Sequence[Any]) -> None:
        item = batch[0] if self._single else batch
        begin = time.perf_counter()
        self._predictor.predict(item)
        self._seconds[WHOLE].append(time.perf_counter() - begin)

    def _dissected(self, batch: Sequence[Any]) -> None:
        predictor, clock = self._predictor, time.perf_counter
        begin = clock()
        arrays, samples = predictor.prepare(batch)
        prepared = clock()
        outputs = predictor.compute(arrays)
        ran = clock()
        predictor.finish(outputs, samples)
        end = clock()
        self._seconds[PREPROCESS].append(prepared - begin)
        self._seconds[RUN].append(ran - prepared)
        self._seconds[POSTPROCESS].append(end - ran)

    def _device(self, batch: Sequence[Any]) -> None:
        """One more run with the device's own clock in it, which costs something: none of the above has it."""
        runtime = self._predictor.runtime
        if not runtime.tells_phases:
            return
        arrays, _ = self._predictor.prepare(batch)
        runtime.phases_wanted = True
        try:
            runtime.run(arrays)
        finally:
            runtime.phases_wanted = False
        for name, ms in (runtime.last_phases() or {}).items():
            self._device_ms.setdefault(name, []).append(ms)
