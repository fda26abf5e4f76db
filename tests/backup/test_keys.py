from __future__ import annotations

from pathlib import Path

import pytest

from backup.__main__ import keys
from backup.store import BackupError


@pytest.mark.parametrize(
    "content", [None, "", "\n", "# created: 2026\n"], ids=["missing", "empty", "newline", "comment"]
)
@pytest.mark.parametrize("name", ["recipients", "identity"])
def test_without_a_key_one_line_says_what_makes_the_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str | None
) -> None:
    monkeypatch.setenv("BACKUP_SECRETS", str(tmp_path))
    monkeypatch.setenv("BACKUP_ENVIRONMENT", "school")
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(BackupError, match=rf"has no {name}; .*`kubectl -n school create secret generic backup") as told:
        keys(name)
    assert "\n" not in str(told.value)


def test_every_key_of_a_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKUP_SECRETS", str(tmp_path))
    (tmp_path / "recipients").write_text("# of Ana\nage1a\n\nage1b\n")
    assert keys("recipients") == ["age1a", "age1b"]
