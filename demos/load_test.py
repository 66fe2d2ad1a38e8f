"""Ask a server many things at once, and check every answer.

    python -m demos.load_test product.onnx --url http://127.0.0.1:8000 --clients 64 --seconds 60

Every client keeps one connection and has one request on its way. What is sent are the artifact's golden
samples, of pictures so many altered ones that no two clients ask the same; what must come back is what
`Predictor` says of the same item in this process. Every request carries a number that its answer must carry
too. So an answer that is lost, doubled, or given to another client is seen. The run ends after so many
seconds or requests, whichever is first; it exits with 1 where anything but answers and refusals came back.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from demos.load_clients import Load, LoadReport, Question
from demos.load_questions import questions_for
from runtimes import EdgewrightError


def main(words: Sequence[str] | None = None) -> int:
    """Run the load that a command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m demos.load_test", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("artifact", type=Path, help="the file that is served; it says what is right")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the server")
    parser.add_argument("--model", help="its name there (the file's)")
    parser.add_argument("--clients", type=int, default=64, metavar="N", help="connections (64)")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="end after (10)")
    parser.add_argument("--requests", type=int, default=10_000_000, metavar="N", help="end after so many")
    parser.add_argument("--inputs", type=int, default=256, metavar="N", help="different items (256)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    args = parser.parse_args(words)
    try:
        questions = questions_for(args.artifact, args.model or args.artifact.stem, args.inputs)
    except EdgewrightError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    report = ask(args, questions)
    print(report.summary())
    if args.json:
        args.json.write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    return 0 if report.clean else 1


def ask(args: argparse.Namespace, questions: Sequence[Question]) -> LoadReport:
    """Run the load against the server that `args` names."""
    address = urlsplit(args.url)
    load = Load((address.hostname or "127.0.0.1", address.port or 80), questions, clients=args.clients)
    return load.run(seconds=args.seconds, requests=args.requests)


if __name__ == "__main__":
    sys.exit(main())
