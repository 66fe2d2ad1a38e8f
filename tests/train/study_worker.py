"""A process that works on a shared study, with a stand-in for training that takes no torch.

Arguments: storage, trials in all, seconds per trial. Says ``begin NUMBER`` and ``end NUMBER`` for each trial.
"""

from __future__ import annotations

import sys
import time

from tests.train.study_subjects import open_shared
from train.tune_study import SharedStudy

EPOCHS = 2


def work(study: SharedStudy, total: int, seconds: float) -> None:
    """Claim trials until there are enough."""
    while study.counts().finished < total:
        study.take_over()
        claim = study.claim(total)
        if claim is None:
            time.sleep(0.02)
            continue
        _say("begin", claim.number)
        with claim.beating():
            for epoch in range(1, EPOCHS + 1):
                time.sleep(seconds / EPOCHS)
                claim.report(claim.values["lr"] * epoch, epoch)
            claim.finish(claim.values["lr"])
        _say("end", claim.number)


def _say(word: str, number: int) -> None:
    sys.stdout.write(f"{word} {number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    work(open_shared(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
