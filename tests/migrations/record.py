"""Makes schemas/ anew: every schema that was ever on main, filled by its own code: python -m tests.migrations.record

Needs the history, git and docker. The environment is today's: these commits pin the same SQLAlchemy and Alembic.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests import mysql

FOLDER = Path(__file__).resolve().parent
# The last commit that made each. What 0002 makes was changed twice while it kept its id; v0.1.0 has the third.
COMMITS = {"0001": "9d6487d", "0002-first": "db95cb8", "0002-second": "62dd2e9", "0002": "6fe13d3"}


def main() -> None:
    """Checks each commit out, and has its code make a database on SQLite and one on MySQL."""
    for name, commit in COMMITS.items():
        with tempfile.TemporaryDirectory() as folder:
            worktree = Path(folder, "worktree")
            git("worktree", "add", "--detach", str(worktree), commit)
            try:
                fill(worktree, FOLDER / "schemas" / f"{name}.sqlite.sql", {"DATA_DIR": f"{folder}/data"})
                with mysql.server(os.environ.get("MYSQL_IMAGE") or mysql.pinned_image()) as server:
                    fill(worktree, FOLDER / "schemas" / f"{name}.mysql.sql", server)
            finally:
                git("worktree", "remove", "--force", str(worktree))


def fill(worktree: Path, target: Path, variables: Mapping[str, str]) -> None:
    """Runs fill.py with the `app` of a worktree."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DB_")}
    environment |= {"PYTHONPATH": str(worktree), **variables}
    subprocess.run([sys.executable, FOLDER / "fill.py", target], env=environment, cwd=worktree, check=True)


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=FOLDER, check=True)


if __name__ == "__main__":
    main()
