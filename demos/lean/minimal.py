"""The least code that answers for one picture: Pillow, numpy and ONNX Runtime, nothing checked.

Run as a script of its own: MODEL PICTURE WIDTH HEIGHT LEFT TOP SIDE CHANNELS. It prints the system's
monotonic clock at its first result, the class, and the process's peak of resident memory in kB.
"""

import sys
import time

import numpy as np
import onnxruntime as ort
from PIL import Image

model, picture = sys.argv[1:3]
width, height, left, top, side = map(int, sys.argv[3:8])
options = ort.SessionOptions()
options.add_session_config_entry("session.force_spinning_stop", "1")
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
image = Image.open(picture)
if sys.argv[8] == "1":
    image = image.convert("L")
image = image.resize((width, height), Image.Resampling.BILINEAR)
if (width, height) != (side, side):
    image = image.crop((left, top, left + side, top + side))
array = np.asarray(image).reshape(1, side, side, -1)
answer = int(session.run(["scores"], {"image": array})[0][0].argmax())
done = time.perf_counter()
with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - pathlib would be one import more
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM:"))
print(done, answer, peak)
