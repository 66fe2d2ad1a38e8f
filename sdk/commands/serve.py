"""Answer requests over HTTP with one or many artifacts.

Each artifact is proved on its golden samples before the first request. POST pictures, texts or series to
/v1/models/NAME:predict; /docs lists everything. On SIGTERM and Ctrl-C every request that was taken is
answered before it ends; a second signal ends it at once.

Examples:
  edgewright serve product.onnx
  edgewright serve shop=product.onnx reviews=text.onnx --port 9000
  curl --data-binary @shirt.png -H 'Content-Type: image/png' http://127.0.0.1:8000/v1/models/product:predict
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes import UsageError
from sdk.commands.runtime_options import add_runtime_options, runtime_options
from sdk.commands.serve_monitoring import add_monitoring, monitor_options

if TYPE_CHECKING:
    from sdk.serve.options import ServeOptions, Tls


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
    _add_bounds(parser)
    _add_running(parser)
    add_monitoring(parser)
    add_runtime_options(parser)


def _add_bounds(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("bounds")
    group.add_argument(
        "--deadline-ms", type=float, default=10_000, metavar="MS", help="504 after this (10000)"
    )
    group.add_argument("--max-body-mib", type=float, default=32, metavar="MIB", help="largest body (32)")
    group.add_argument("--max-items", type=int, default=256, metavar="N", help="most items a request (256)")
    group.add_argument(
        "--max-megapixels", type=float, metavar="MP", help="largest picture that is decoded (89.5)"
    )
    group.add_argument(
        "--max-held-mib",
        type=float,
        default=256,
        metavar="MIB",
        help="of all bodies that are not answered (256)",
    )
    group.add_argument(
        "--max-connections", type=int, default=1000, metavar="N", help="connections at a time (1000)"
    )
    group.add_argument(
        "--request-timeout-s",
        type=float,
        default=10,
        metavar="S",
        help="for headers, and as much for a body besides a second per 64 KiB (10)",
    )
    group.add_argument(
        "--idle-timeout-s", type=float, default=30, metavar="S", help="a connection between requests (30)"
    )


def _add_running(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("running")
    group.add_argument(
        "--replicas", type=int, default=1, metavar="N", help="processes that share the address (1)"
    )
    group.add_argument(
        "--watch",
        action="store_true",
        help="replace a model when its file changes; without it, SIGHUP looks whether one has",
    )
    group.add_argument(
        "--watch-s", type=float, default=1.0, metavar="S", help="pause between two looks of --watch (1)"
    )
    group.add_argument(
        "--grace-s",
        type=float,
        default=0.5,
        metavar="S",
        help="after SIGTERM: not ready, but taking requests for so long (0.5)",
    )
    group.add_argument(
        "--drain-s", type=float, default=30, metavar="S", help="after that: for answers that are due (30)"
    )
    group.add_argument("--access-log", action="store_true", help="log every request, without its contents")
    group = parser.add_argument_group("access")
    group.add_argument("--tls-cert", metavar="FILE", help="PEM certificate: speak HTTPS")
    group.add_argument("--tls-key", metavar="FILE", help="its private key")
    group.add_argument(
        "--api-key-file",
        metavar="FILE",
        help="keys, one a line, of which requests have to bring one; else EDGEWRIGHT_API_KEYS, with commas",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from sdk.serve.options import named
    from sdk.serve.server import serve

    models = named(args.artifacts)
    return serve(models, _options(args, [model.name for model in models]))


def _options(args: argparse.Namespace, models: Sequence[str]) -> ServeOptions:
    from sdk.inputs.image_decode import MAX_PIXELS
    from sdk.serve.options import MEBIBYTE, Batching, Connections, ServeOptions

    return ServeOptions(
        host=args.host,
        port=args.port,
        batching=Batching(args.max_batch, args.max_wait_ms, args.max_queue, args.workers),
        deadline_ms=args.deadline_ms,
        max_body_bytes=int(args.max_body_mib * MEBIBYTE),
        max_items=args.max_items,
        max_pixels=MAX_PIXELS if args.max_megapixels is None else int(args.max_megapixels * 1e6),
        connections=Connections(
            most=args.max_connections,
            header_s=args.request_timeout_s,
            body_s=args.request_timeout_s,
            idle_s=args.idle_timeout_s,
            held_bytes=int(args.max_held_mib * MEBIBYTE),
        ),
        tls=_tls(args),
        api_keys=Path(args.api_key_file) if args.api_key_file else None,
        replicas=args.replicas,
        watch_s=args.watch_s if args.watch else None,
        grace_s=args.grace_s,
        drain_s=args.drain_s,
        access_log=args.access_log,
        runtime=runtime_options(args),
        monitor=monitor_options(args, models),
    )


def _tls(args: argparse.Namespace) -> Tls | None:
    from sdk.serve.options import Tls

    if not args.tls_cert and not args.tls_key:
        return None
    if not args.tls_cert or not args.tls_key:
        raise UsageError("Options --tls-cert and --tls-key", got="one of them", expected="both or neither",
                         fix="Add the other.")  # fmt: skip
    return Tls(Path(args.tls_cert), Path(args.tls_key))
