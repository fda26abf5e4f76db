"""Whether people can save: a row is written, read back and removed."""

from __future__ import annotations

import math
import threading
import time

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app import database
from app.models import Attempt

# Seconds for which a save that was acknowledged says that others would be.
FRESH = 5.0


class Saving:
    """Saves at most once in FRESH seconds, and one at a time, however many ask.

    The row is a failed login of nobody who could sign in; what a crash leaves of these goes with all others.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.acknowledged = -math.inf
        self.turn = threading.Lock()

    def problem(self) -> str | None:
        """Why nothing can be saved, or None where something was; DBAPIError where the database refuses."""
        if self._age() > FRESH and self.turn.acquire(blocking=False):
            try:
                self._save()
            finally:
                self.turn.release()
        return "a save is not acknowledged" if self._age() > 2 * FRESH else None

    def _age(self) -> float:
        return time.monotonic() - self.acknowledged

    def _save(self) -> None:
        with Session(self.engine) as session:
            row = Attempt(who="nobody: whether people can save", at=database.now(session))
            session.add(row)
            session.commit()
            session.refresh(row)
            session.delete(row)
            session.commit()
        self.acknowledged = time.monotonic()
