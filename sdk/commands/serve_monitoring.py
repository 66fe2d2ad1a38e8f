"""Options of `edgewright serve` about its log, drift, and other versions of its models."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdk.serve.monitor_options import MonitorOptions


def add_monitoring(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    group = parser.add_argument_group("monitoring; see docs/monitoring.md")
    group.add_argument(
        "--log", metavar="LOG", help="prediction log, without payloads: a SQLite file, or an SQLAlchemy URL"
    )
    group.add_argument("--log-share", type=float, default=1.0, metavar="SHARE", help="of requests logged (1)")
    group.add_argument(
        "--drift-window",
        type=int,
        default=500,
        metavar="N",
        help="newest predictions compared with what an artifact was proved on (500)",
    )
    group.add_argument("--drift-psi", type=float, default=0.2, metavar="PSI", help="counts as drift (0.2)")
    group.add_argument(
        "--on-drift", metavar="HOOK", help="command or http(s) address, once each time that drift begins"
    )
    group = parser.add_argument_group("other versions of a model")
    group.add_argument(
        "--ab",
        metavar="NAME=FILE:SHARE",
        action="append",
        default=[],
        help="answers this share of clients (X-Client-Id), such as shop=new.onnx:0.1",
    )
    group.add_argument(
        "--shadow",
        metavar="NAME=FILE",
        action="append",
        default=[],
        help="is asked the same, answers nobody, and is compared",
    )


def monitor_options(args: argparse.Namespace, models: Sequence[str]) -> MonitorOptions:
    """What the arguments say.

    Raises:
        UsageError: They make no sense.
    """
    from sdk.serve.monitor_options import MonitorOptions, challengers

    return MonitorOptions(
        log=args.log,
        log_share=args.log_share,
        window=args.drift_window,
        psi=args.drift_psi,
        on_drift=args.on_drift,
        challengers=challengers(args.ab, args.shadow, models),
    )
