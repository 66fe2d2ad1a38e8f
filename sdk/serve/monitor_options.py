"""What a server is told about its log, the eye on drift, and versions that share or shadow its models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtimes import UsageError
from sdk.monitor.drift import DEFAULT_WINDOW, PSI_LIMIT


@dataclass(frozen=True)
class Challenger:
    """Another version of a model that is served.

    Attributes:
        name: The model's name.
        path: Its file.
        share: Of clients that it answers, above 0 and below 1; None for a shadow.
    """

    name: str
    path: Path
    share: float | None = None


def challengers(ab: Sequence[str], shadow: Sequence[str], models: Sequence[str]) -> tuple[Challenger, ...]:
    """What ``--ab NAME=FILE:SHARE`` and ``--shadow NAME=FILE`` say of models that are served.

    Raises:
        UsageError: Something else is said, or the model is not served or has two of a kind.
    """
    found = []
    for option, words in (("--ab", ab), ("--shadow", shadow)):
        seen = set()
        for word in words:
            one = _challenger(option, word)
            if one.name not in models or one.name in seen:
                raise UsageError(f"Option {option}", got=repr(one.name),
                                 expected=f"one of {', '.join(models)}, once",
                                 fix="Name a model that is served.")  # fmt: skip
            seen.add(one.name)
            found.append(one)
    return tuple(found)


def _challenger(option: str, word: str) -> Challenger:
    name, _, rest = word.partition("=")
    file, _, share = rest.rpartition(":") if option == "--ab" else (rest, "", "")
    try:
        told = float(share) if option == "--ab" else None
    except ValueError:
        told = 0.0
    if not name or not file or (told is not None and not 0 < told < 1):
        form = "NAME=FILE:SHARE, such as shop=new.onnx:0.1" if option == "--ab" else "NAME=FILE"
        raise UsageError(f"Option {option}", got=repr(word), expected=form, fix="Correct it.")
    return Challenger(name, Path(file), told)


@dataclass(frozen=True)
class MonitorOptions:
    """What is logged and watched.

    Attributes:
        log: File (SQLite) or SQLAlchemy URL of the prediction log; None: none is kept.
        log_share: Of requests that are logged.
        window: Predictions that are compared with an artifact's reference at a time.
        psi: Smallest population stability index that counts as drift.
        on_drift: Command or address, once per crossing.
        challengers: Other versions of the models.
    """

    log: str | None = None
    log_share: float = 1.0
    window: int = DEFAULT_WINDOW
    psi: float = PSI_LIMIT
    on_drift: str | None = None
    challengers: tuple[Challenger, ...] = ()

    def __post_init__(self) -> None:
        for option, value, holds, expected in (
            ("--log-share", self.log_share, 0 < self.log_share <= 1, "above 0, at most 1"),
            ("--drift-window", self.window, self.window >= 100, "at least 100"),
            ("--drift-psi", self.psi, self.psi > 0, "above 0"),
            ("--on-drift", self.on_drift, not self.on_drift or self.log, "it with --log"),
        ):
            if not holds:
                raise UsageError(f"Option {option}", got=str(value), expected=expected, fix="Correct it.")
