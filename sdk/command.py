"""The `edgewright` command. It finds subcommands by entry point, so `sdk` imports no other room."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from runtimes import EdgewrightError, UsageError
from runtimes.errors import first_line
from sdk import __version__

COMMANDS = "edgewright.commands"
"""Entry-point group. An entry is a module: the first line of its docstring is the help,
`configure(parser)` adds arguments, `run(args)` returns the exit code."""

_DESCRIPTION = "Take PyTorch models from training to the device: train, compress, lower, prove, predict."
_EPILOG = """\
Start with:  edgewright quickstart
Exit codes:  0 done, 1 the thing asked for does not hold, 2 bad usage or input.
Each command explains itself:  edgewright COMMAND --help"""


class _Parser(argparse.ArgumentParser):
    """argparse with our one line and exit code 2 for bad usage."""

    def error(self, message: str) -> None:  # type: ignore[override]
        print(f"{self.prog}: {message}. See `{self.prog} --help`.", file=sys.stderr)
        raise SystemExit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        arguments: Words after ``edgewright``; None takes them from the process.

    Returns:
        0 done, 1 the thing asked for does not hold, 2 bad usage or input.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Read by OpenMP when torch is imported. Its default is to burn a core while waiting for the others, which
    # beside any other work on the machine made training twelve times slower (measured).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Pillow warns below our own, stricter answer to oversized images; the answer is what is shown.
    warnings.filterwarnings("ignore", module="PIL.Image", message="Image size")
    try:
        return _dispatch(words)
    except EdgewrightError as error:
        print(f"edgewright: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("edgewright: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`edgewright … | head`): end quietly, as other tools do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(words: list[str]) -> int:
    found = {entry.name: entry for entry in entry_points(group=COMMANDS)}
    if not words or words[0] in ("-h", "--help"):
        print(_overview(found))
        return 0
    if words[0] in ("-V", "--version"):
        print(f"edgewright {__version__}")
        return 0
    if words[0] not in found:
        raise UsageError(
            "Command",
            got=repr(words[0]),
            expected=f"one of {', '.join(sorted(found))}",
            fix="See `edgewright --help`.",
        )
    module = _load(found[words[0]])
    parser = _Parser(
        prog=f"edgewright {words[0]}",
        description=(module.__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    args = parser.parse_args(words[1:])
    try:
        code: int = module.run(args)
    except ModuleNotFoundError as error:
        raise _missing_package(words[0], error) from error
    return code


def _load(entry: EntryPoint) -> ModuleType:
    try:
        module: ModuleType = entry.load()
    except ImportError as error:
        raise _missing_package(entry.name, error) from error
    return module


def _missing_package(command: str, error: ImportError) -> UsageError:
    return UsageError(
        f"Command {command!r}",
        got=f"a missing package ({first_line(error)})",
        expected="everything it needs installed",
        fix="Run: pip install 'edgewright[all]'.",
    )


def _overview(found: dict[str, EntryPoint]) -> str:
    lines = ["usage: edgewright COMMAND …", "", _DESCRIPTION, "", "commands:"]
    for name in sorted(found):
        try:
            module = _load(found[name])
            help_line = (module.__doc__ or "").strip().splitlines()[0]
        except UsageError:
            help_line = "(needs packages that are not installed: pip install 'edgewright[all]')"
        lines.append(f"  {name:<14}{help_line}")
    return "\n".join([*lines, "", _EPILOG])


if __name__ == "__main__":
    raise SystemExit(main())
