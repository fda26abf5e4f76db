"""The database of the stage, asked from inside its own pod."""

from __future__ import annotations

from delivery.kubectl import kubectl
from drills.conftest import Stage

ACCOUNT = """exec mysql --defaults-file=/run/accounts/client.cnf --default-character-set=utf8mb4 --batch \
--skip-column-names school_schedule"""
ROOT = """exec mysql --defaults-file=/run/accounts/root.cnf \
--batch --skip-column-names"""


def query(stage: Stage, statements: str, *, client: str = ACCOUNT, pod: str = "mysql-0") -> str:
    """What the database answers to statements from inside its own pod."""
    return kubectl("-n", stage.namespace, "exec", "-i", pod, "-c", "mysql", "--", "sh", "-c", client, stdin=statements)
