"""What came of the draws of chaos.py: lines of JSON, so that a run goes on where one stopped."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Outcome:
    """A draw and the answers to what is asked of it.

    Attributes:
        done: which field, process or file it was; empty where there was nothing to be done it to.
        requests, failed: of the users, from the fault until all was well.
        out: seconds in which they were not served.
        alerts: their names, without repetition, in the order in which they came.
        heard, ended: seconds until the first, and from the way back until all were over.
        back: what brought it back: `itself`, `deploy` or `up`.
        seconds: from the fault until all was well.
        saves, lost: rows that were acknowledged, and those of them that are not there.
        wrong: why an answer is no, a line each.
    """

    seed: int
    number: int
    object: str
    action: str
    done: str = ""
    requests: int = 0
    failed: int = 0
    out: float = 0
    alerts: list[str] = field(default_factory=list)
    heard: float | None = None
    ended: float | None = None
    back: str = ""
    seconds: float = 0
    saves: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        words = [
            f"{self.seed}/{self.number} {self.action} {self.object}: {self.done or 'nothing to be done'}",
            f"out for {self.out:.0f} s of {self.seconds:.0f}, back by {self.back or 'nothing'}",
            f"alerts: {', '.join(self.alerts) or 'none'}",
            f"{self.lost} of {self.saves} saves lost",
            *(f"NO: {line}" for line in self.wrong),
        ]
        return "; ".join(words)


@dataclass(frozen=True)
class Ledger:
    """A file of outcomes, or none that is kept."""

    file: Path

    def add(self, outcome: Outcome) -> None:
        """Appends a line."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")

    def read(self) -> list[Outcome]:
        """All outcomes, the newest last; of a line that was cut off nothing is known."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        found = []
        for line in lines:
            try:
                found.append(Outcome(**json.loads(line)))
            except ValueError:
                continue
        return found

    def next(self, seed: int) -> int:
        """The number of the first draw of a seed that has no outcome."""
        numbers = [outcome.number for outcome in self.read() if outcome.seed == seed]
        return max(numbers, default=-1) + 1

    def streak(self) -> int:
        """How many draws in a row had something done and no answer that is no, up to now."""
        count = 0
        for outcome in reversed(self.read()):
            if outcome.wrong:
                break
            count += bool(outcome.done)
        return count
