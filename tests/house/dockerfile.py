"""A Dockerfile as data: its stages with their instructions, as far as this project's files need it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

KNOWN = {
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "STOPSIGNAL",
    "USER", "VOLUME", "WORKDIR",
}  # fmt: skip


@dataclass(frozen=True)
class Instruction:
    """One instruction: its upper-case word, its text with lines joined, and the line on which it begins."""

    word: str
    text: str
    line: int

    @property
    def words(self) -> list[str]:
        """Its text as a shell or, in the exec form, JSON has it."""
        return (
            [str(word) for word in json.loads(self.text)]
            if self.text.startswith("[")
            else shlex.split(self.text)
        )

    @property
    def pairs(self) -> dict[str, str]:
        """``KEY=VALUE`` words."""
        return dict(word.split("=", 1) for word in self.words)


@dataclass(frozen=True)
class Stage:
    """What stands between one FROM and the next."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, word: str) -> Instruction:
        """The last instruction of a kind; the one that counts."""
        return next(found for found in reversed(self.instructions) if found.word == word)


def parse(path: Path) -> list[Stage]:
    """The stages of a file, variables of ARG before the first FROM put in."""
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for instruction in _instructions(path.read_text(encoding="utf-8")):
        assert instruction.word in KNOWN, f"{path.name}:{instruction.line}: {instruction.word}"
        if instruction.word == "FROM":
            words = expand(instruction.text, arguments).split()
            stages.append(Stage(words[0], words[2] if words[1:2] == ["AS"] else ""))
        elif stages:
            stages[-1].instructions.append(instruction)
        else:
            arguments.update(instruction.pairs)
    return stages


def expand(text: str, values: dict[str, str]) -> str:
    """Put variables in, as FROM, COPY and ENV have it."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: values[found[1] or found[2]], text)


def _instructions(text: str) -> list[Instruction]:
    found: list[Instruction] = []
    parts: list[str] = []
    begun = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (line.strip() or parts):
            continue
        begun = begun or number
        parts.append(line.strip().removesuffix("\\"))
        if line.rstrip().endswith("\\"):
            continue
        word, _, rest = "".join(parts).partition(" ")
        found.append(Instruction(word.upper(), rest.strip(), begun))
        parts, begun = [], 0
    return found
