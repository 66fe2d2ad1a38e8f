"""The same answer from the Predictor. A script of its own: ARTIFACT PICTURE; prints what `minimal` does."""

import sys
import time

from sdk import Predictor

predictor = Predictor(sys.argv[1])
answer = predictor.predict(sys.argv[2]).index
done = time.perf_counter()
with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - pathlib would be one import more
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM:"))
print(done, answer, peak)
