"""Answer requests over HTTP with one or many artifacts.

Each artifact is proved on its golden samples before the first request. POST pictures, texts or series to
/v1/models/NAME:predict; /docs lists everything. Ends cleanly on SIGTERM and Ctrl-C.

Examples:
  edgewright serve product.onnx
  edgewright serve shop=product.onnx reviews=text.onnx --port 9000
  curl --data-binary @shirt.png -H 'Content-Type: image/png' http://127.0.0.1:8000/v1/models/product:predict
"""

from __future__ import annotations

import argparse

from sdk.commands.runtime_options import add_runtime_options, runtime_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("artifacts", metavar="ARTIFACT", nargs="+", help="FILE, or NAME=FILE")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="TCP port; 0 takes a free one (8000)")
    group = parser.add_argument_group("batching")
    group.add_argument("--max-batch", type=int, default=32, metavar="N", help="most items in one call (32)")
    group.add_argument(
        "--max-wait-ms",
        type=float,
        default=0.0,
        metavar="MS",
        help="how long a free worker waits for a batch to fill (0: batches form while it works)",
    )
    group.add_argument("--max-queue", type=int, default=512, metavar="N", help="most waiting items (512)")
    group.add_argument("--workers", type=int, default=1, metavar="N", help="threads per model (1)")
    group = parser.add_argument_group("bounds")
    group.add_argument(
        "--deadline-ms", type=float, default=10_000, metavar="MS", help="504 after this (10000)"
    )
    group.add_argument("--max-body-mib", type=float, default=32, metavar="MIB", help="largest body (32)")
    group.add_argument("--max-items", type=int, default=256, metavar="N", help="most items a request (256)")
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from sdk.serve.options import MEBIBYTE, Batching, ServeOptions, named
    from sdk.serve.server import serve

    options = ServeOptions(
        host=args.host,
        port=args.port,
        batching=Batching(args.max_batch, args.max_wait_ms, args.max_queue, args.workers),
        deadline_ms=args.deadline_ms,
        max_body_bytes=int(args.max_body_mib * MEBIBYTE),
        max_items=args.max_items,
        runtime=runtime_options(args),
    )
    return serve(named(args.artifacts), options)
