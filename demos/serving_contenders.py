"""The same artifact behind other servers, as one would write them; a process each.

python -m demos.serving_contenders fastapi|fastapi-threads|litserve ARTIFACT PORT [--threads N]
"""

import argparse
import json
import os
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
TOLD = "EDGEWRIGHT_CONTENDER"
"""A variable that tells uvicorn's processes what to serve."""


def plain_fastapi(artifact: Path, options: dict[str, Any], *, threads: bool) -> Any:
    """A route that predicts on the one item it is sent: on the event loop, or in FastAPI's threads."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    from sdk import Predictor

    app, predictor = FastAPI(), Predictor(artifact, **options)

    class Asked(BaseModel):
        item: str

    async def on_the_loop(asked: Asked) -> dict[str, Any]:
        return predictor.predict(b64decode(asked.item)).to_dict()

    def in_threads(asked: Asked) -> dict[str, Any]:
        return predictor.predict(b64decode(asked.item)).to_dict()

    app.post("/predict")(in_threads if threads else on_the_loop)
    return app


def made() -> Any:
    """The application, in each of uvicorn's processes."""
    told = json.loads(os.environ[TOLD])
    return plain_fastapi(Path(told["artifact"]), told["options"], threads=told["threads"])


def main() -> int:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(prog="python -m demos.serving_contenders")
    parser.add_argument("kind", choices=["fastapi", "fastapi-threads", "litserve"])
    parser.add_argument("artifact", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    options = {} if args.threads is None else {"threads": args.threads}
    if args.kind == "litserve":
        from demos.serving_litserve import serve

        serve(args.artifact, args.port, options, batch=args.batch, workers=args.workers)
    else:
        import uvicorn

        threads = args.kind == "fastapi-threads"
        os.environ[TOLD] = json.dumps(
            {"artifact": str(args.artifact), "options": options, "threads": threads}
        )
        uvicorn.run("demos.serving_contenders:made", factory=True, host=HOST, port=args.port,
                    log_level="warning", workers=args.workers)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
