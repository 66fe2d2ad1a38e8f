"""An artifact behind LitServe with its own batching; its processes import the class from here."""

from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import litserve

from sdk import Predictor

BATCH_TIMEOUT_S = 0.002


class Api(litserve.LitAPI):
    """One item per request, in batches through one `Predictor` per worker process."""

    def __init__(self, artifact: Path, options: dict[str, Any], batch: int) -> None:
        super().__init__(max_batch_size=batch, batch_timeout=BATCH_TIMEOUT_S)
        self._artifact, self._options = artifact, options

    def setup(self, device: Any) -> None:  # noqa: ARG002 - as LitServe calls it
        """Open the artifact in a worker."""
        self._predictor = Predictor(self._artifact, **self._options)

    def decode_request(self, request: dict[str, str]) -> bytes:
        """A body is JSON: LitServe passes nothing else on, but forms."""
        return b64decode(request["item"])

    def batch(self, inputs: Sequence[bytes]) -> list[bytes]:
        """Leave items as they are: `Predictor` stacks them."""
        return list(inputs)

    def predict(self, x: list[bytes]) -> list[Any]:
        """Of a batch."""
        results: list[Any] = self._predictor.predict(x)
        return results

    def unbatch(self, output: list[Any]) -> list[Any]:
        """A result each."""
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        """As `edgewright serve` answers."""
        found: dict[str, Any] = output.to_dict()
        return found


def serve(artifact: Path, port: int, options: dict[str, Any], *, batch: int, workers: int) -> None:
    """Serve until a signal."""
    server = litserve.LitServer(Api(artifact, options, batch), accelerator="cpu", workers_per_device=workers)
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)
