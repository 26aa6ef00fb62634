"""At a terminal nobody can tell: each case is run natively and wrapped, and both must pass the same test."""

import fcntl
import os
import pty
import shutil
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from shim.keyboard import CTRL_BACKSLASH, CTRL_C, CTRL_D, CTRL_Z, ESCAPE, Terminal
from shim.places import DRE
from shim.processes import wait_for

PROGRAMS = Path(__file__).parent / "programs"
PAGER = f"{sys.executable} {PROGRAMS}/pager.py"
EDITOR = f"{sys.executable} {PROGRAMS}/editor.py"
SIZES = f"{sys.executable} {PROGRAMS}/sizes.py"
# Programs that people use, where they are installed, beside ours that do the same.
PAGERS = {"ours": PAGER, **({"less": "less"} if shutil.which("less") else {})}
EDITORS = {"ours": EDITOR, **({"vim": "vim -u NONE -N"} if shutil.which("vim") else {})}

Opener = Callable[..., Terminal]


# Stopping and continuing


def test_a_stopped_job_runs_on_in_the_background_and_ends_in_front(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}sh -c 'echo RE''ADY; cat go; echo DO''NE; cat go; exit 7'", "READY")
    bash.at_gate()
    bash.type(CTRL_Z)
    bash.see("Stopped", "PROMPT>")
    bash.run_to_prompt("bg")
    bash.run_to_prompt("jobs", "Running")
    bash.open_gate()
    bash.see("DONE")
    bash.run("fg")
    bash.job_in_front()
    bash.open_gate()
    bash.prompt()
    bash.code_is(7)


def test_a_running_job_brought_to_the_front_takes_ctrl_c(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}sh -c 'echo RE''ADY; cat go'", "READY")
    bash.at_gate()
    bash.type(CTRL_Z)
    bash.see("Stopped", "PROMPT>")
    bash.run_to_prompt("bg")
    bash.run("fg")
    bash.job_in_front()
    bash.type(CTRL_C)
    bash.prompt()
    bash.code_is(130)


def test_a_running_job_brought_to_the_front_may_read(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}sh -c 'echo RE''ADY; cat go; read x; echo GOT=$x'", "READY")
    bash.at_gate()
    bash.type(CTRL_Z)
    bash.see("Stopped", "PROMPT>")
    bash.run_to_prompt("bg")
    bash.run("fg")
    bash.job_in_front()
    bash.open_gate()
    bash.run("word", "GOT=word", "PROMPT>")


def test_a_background_job_that_reads_is_stopped(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}sh -c 'echo RE''ADY; cat go; read x; echo GOT=$x'", "READY")
    bash.at_gate()
    bash.type(CTRL_Z)
    bash.see("Stopped", "PROMPT>")
    bash.run_to_prompt("bg")
    bash.open_gate()
    bash.repeat("jobs -l", "Stopped (tty input)")
    bash.run("fg")
    bash.job_in_front()
    bash.run("word", "GOT=word", "PROMPT>")


def test_ctrl_z_works_again_and_again(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}sh -c 'echo RE''ADY; cat go; echo DO''NE; exit 3'", "READY")
    bash.at_gate()
    for _ in range(3):
        bash.type(CTRL_Z)
        bash.see("Stopped", "PROMPT>")
        bash.run("fg")
        bash.job_in_front()
    bash.open_gate()
    bash.see("DONE", "PROMPT>")
    bash.code_is(3)


def test_the_shell_has_its_own_terminal_modes_while_a_job_is_stopped(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}sh -c 'stty -echo -opost; echo RE''ADY; cat go'", "READY")
    bash.at_gate()
    bash.type(CTRL_Z)
    bash.see("Stopped", "PROMPT>")
    bash.run("stty -a | tr ' ' '\\n' | grep -x -e icanon -e echo -e opost | tr '\\n' ,", "opost,icanon,echo", "PROMPT>")
    bash.run_to_prompt("kill %1; fg")


def test_a_command_that_stops_itself_goes_on_in_front(bash: Terminal, p: str) -> None:
    bash.run(f"{p}sh -c 'echo RE''ADY; kill -STOP $$; echo BA''CK; exit 5'", "READY", "Stopped", "PROMPT>")
    bash.run("fg", "BACK", "PROMPT>")
    bash.code_is(5)


def test_a_job_stopped_from_outside_goes_on_in_front(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}sh -c 'echo RE''ADY; cat go; echo DO''NE' &", "READY")
    bash.at_gate()
    bash.run_to_prompt("kill -STOP %1")
    bash.repeat("jobs", "Stopped")
    bash.run("fg")
    bash.job_in_front()
    bash.open_gate()
    bash.see("DONE", "PROMPT>")


def test_ctrl_z_stops_the_script_that_called_it(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    (bash.folder / "s.sh").write_text(f"{p}sh -c 'echo RE''ADY; cat go'\necho NEXT''LINE\n")
    bash.run("bash s.sh", "READY")
    bash.at_gate()
    bash.type(CTRL_Z)
    bash.see("Stopped", "PROMPT>")
    bash.run("fg")
    bash.job_in_front()
    bash.open_gate()
    bash.see("NEXTLINE", "PROMPT>")


def test_ctrl_z_stops_a_whole_pipeline(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}sh -c 'echo RE''ADY; cat go; echo DO''NE; exit 4' | cat", "READY")
    bash.at_gate()
    bash.type(CTRL_Z)
    bash.see("Stopped", "PROMPT>")
    bash.run("fg")
    bash.job_in_front()
    bash.open_gate()
    bash.see("DONE", "PROMPT>")
    bash.code_is(0)


def test_ctrl_z_is_nothing_to_a_session_leader(open_terminal: Opener, p: str) -> None:
    terminal = open_terminal("sh", "-c", f"mkfifo go; exec {p}sh -c 'echo RE''ADY; cat go; echo DONE >done'")
    terminal.see("READY")
    terminal.at_gate()
    terminal.type(CTRL_Z)
    terminal.open_gate()
    wait_for((terminal.folder / "done").exists, "the command's end")


def test_a_background_writer_stops_where_the_terminal_asks_for_it(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run_to_prompt("stty tostop")
    bash.run_to_prompt(f"{p}sh -c 'cat go; echo DO''NE' &")
    bash.open_gate()
    bash.repeat("jobs -l", "Stopped (tty output)")
    bash.run("fg", "DONE", "PROMPT>")


# Ctrl-C and other ways to end


def test_ctrl_c_ends_the_script_that_called_it(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    (bash.folder / "s.sh").write_text(f"{p}sh -c 'echo RE''ADY; cat go'\necho NOT''HERE\n")
    bash.run("bash s.sh", "READY")
    bash.at_gate()
    bash.type(CTRL_C)
    bash.prompt()
    bash.code_is(130)
    assert b"NOTHERE" not in bash.seen


def test_ctrl_c_ends_a_loop_of_the_shell(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"for i in 1 2 3; do {p}sh -c 'echo RE''ADY; cat go'; done", "READY")
    bash.at_gate()
    bash.type(CTRL_C)
    bash.prompt()
    bash.code_is(130)
    assert bash.seen.count(b"READY") == 1


def test_ctrl_c_ends_make(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    (bash.folder / "Makefile").write_text(f"all:\n\t@{p}sh -c 'echo RE''ADY; cat go'\n\t@echo NOT''HERE\n")
    bash.run("make", "READY")
    bash.at_gate()
    bash.type(CTRL_C)
    bash.prompt()
    bash.run("test $? -ne 0 && echo FAI''LED", "FAILED\r\n", "PROMPT>")  # 130 or 2: natively a race within make
    assert b"NOTHERE" not in bash.seen


def test_ctrl_c_ends_all_of_a_pipeline(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"(echo a; cat go) | {p}cat | sed s/a/MID''DLE/", "MIDDLE")
    bash.type(CTRL_C)
    bash.prompt()
    bash.run("echo ${PIPESTATUS[@]}=", "130 130 130=", "PROMPT>")


def test_ctrl_c_ends_a_flood(bash: Terminal, p: str) -> None:
    bash.run(f"{p}yes floodline", "floodline\r\nfloodline")
    bash.type(CTRL_C)
    bash.prompt()
    bash.code_is(130)


def test_ctrl_c_ends_a_flood_into_a_pipe(bash: Terminal, p: str) -> None:
    bash.run(f"{p}yes flood | cat", "flood\r\nflood")
    bash.type(CTRL_C)
    bash.prompt()
    bash.run("echo ${PIPESTATUS[0]}=", "130=", "PROMPT>")


def test_ctrl_c_leaves_a_background_child_of_a_script_alone(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    child = f"{p}sh -c 'echo READY; cat go; echo LIVED >lived'"
    (bash.folder / "s.sh").write_text(f"{child} & wait; echo after\n")
    bash.run("bash s.sh", "READY")
    bash.at_gate()
    bash.type(CTRL_C)
    bash.prompt()
    bash.code_is(130)
    bash.open_gate()
    bash.until((bash.folder / "lived").exists, "the background child lives on")


def test_ctrl_backslash_quits(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run_to_prompt("ulimit -c 0")
    bash.run(f"{p}sh -c 'echo RE''ADY; cat go'", "READY")
    bash.at_gate()
    bash.type(CTRL_BACKSLASH)
    bash.prompt()
    bash.code_is(131)


def test_the_shell_ends_a_running_job(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}sh -c 'echo RE''ADY; exec cat go' &", "READY")
    bash.run("kill %1; wait %1; echo code''=$?", "code=143", "PROMPT>")


# What cannot be run


@pytest.mark.parametrize(
    ("words", "why", "code"),
    [
        ("nosuch", "nosuch: No such file or directory", 127),
        ("./plain/x", "./plain/x: No such file or directory", 127),
        ("--timeout 1 --wait nosuch", "nosuch: No such file or directory", 127),
        ("--quiet ./plain", "./plain: Permission denied", 126),
    ],
)
def test_why_a_command_cannot_be_run_is_said(bash: Terminal, words: str, why: str, code: int) -> None:
    (bash.folder / "plain").touch()
    bash.run(f"{DRE} wrap --no-workspace {words}", f"\rdre: {why}\r\n")
    bash.prompt()
    bash.code_is(code)


def test_why_the_first_of_a_pipeline_cannot_be_run_is_said(bash: Terminal) -> None:
    bash.run(f"{DRE} wrap --no-workspace nosuch | cat", "\rdre: nosuch: No such file or directory\r\n", "PROMPT>")


# Typing


def test_end_of_file_from_the_keyboard(bash: Terminal, p: str) -> None:
    bash.run(f"{p}sh -c 'echo RE''ADY; exec cat'", "READY")
    bash.run("abc", "abc", "abc")
    bash.type(CTRL_D)
    bash.prompt()
    bash.code_is(0)


def test_a_password_is_not_echoed(bash: Terminal, p: str) -> None:
    ask = "stty -echo </dev/tty; printf P''W: >/dev/tty; read x </dev/tty; stty echo </dev/tty; echo GOT=$x"
    bash.run(f"{p}sh -c '{ask}'", "PW:")
    bash.run("secretword", "GOT=secretword", "PROMPT>")
    bash.run("stty -a | tr ' ' '\\n' | grep -x -e echo -e -echo", "\recho\r\n", "PROMPT>")
    assert bash.seen.count(b"secretword") == 1


def test_a_key_from_the_terminal_while_standard_input_is_a_pipe(bash: Terminal, p: str) -> None:
    bash.run(f"echo data | {p}sh -c 'read a; printf A''SK; read k </dev/tty; echo G=$a,$k'", "ASK")
    bash.run("yes", "G=data,yes", "PROMPT>")


def test_a_terminal_for_standard_input_alone(bash: Terminal, p: str) -> None:
    bash.run(f"{p}sh -c 'echo RE''ADY; read x; echo GOT=$x' | cat", "READY")
    bash.run("word", "GOT=word", "PROMPT>")


def test_what_was_typed_ahead_reaches_the_shell(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}sh -c 'echo RE''ADY; cat go'", "READY")
    bash.type("echo AH''EAD\n")
    bash.open_gate()
    bash.prompt()
    bash.run("echo E''ND", *(["AHEAD"] if given_back(p) else []), "END\r\n", "PROMPT>")


def test_what_was_typed_ahead_reaches_first_the_command_then_the_shell(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}sh -c 'echo RE''ADY; cat go; read a; echo GOT=$a'", "READY")
    bash.type("one\necho TW''O\n")
    bash.open_gate()
    bash.see("GOT=one", "PROMPT>")
    bash.run("echo E''ND", *(["TWO"] if given_back(p) else []), "END\r\n", "PROMPT>")


def given_back(p: str) -> bool:
    """Natively always; by the recorder where the kernel lets anybody put keys back, which newer ones let only root."""
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSTI, b"x")
    except OSError:
        return not p
    finally:
        os.close(master)
        os.close(slave)
    return True


# Whole screens, sizes, modes


def test_a_full_screen_program(bash: Terminal, p: str) -> None:
    program = "s.addstr(2,2,'SCR'+'EEN %dx%d'%s.getmaxyx()); s.refresh(); k=s.getkey(); open('key','w').write(k)"
    (bash.folder / "c.py").write_text(f"import curses\ndef m(s):\n {program}\ncurses.wrapper(m)\n")
    bash.run(f"{p}{sys.executable} c.py", "SCREEN 30x100")
    bash.type("q")
    bash.prompt()
    bash.run("cat key; echo E''ND", "qEND", "PROMPT>")


@pytest.mark.parametrize("pager", PAGERS.values(), ids=PAGERS)
def test_a_pager(bash: Terminal, p: str, pager: str) -> None:
    bash.run_to_prompt("seq 1000 > n")
    bash.run(f"{p}{pager} n", "28", "29")
    bash.type("/555\n")
    bash.see("555", "583")
    bash.insist(CTRL_Z, "Stopped")
    bash.prompt()
    bash.run("fg", "555", "583")
    bash.type("q")
    bash.prompt()
    bash.code_is(0)


@pytest.mark.parametrize("editor", EDITORS.values(), ids=EDITORS)
def test_an_editor(bash: Terminal, p: str, editor: str) -> None:
    bash.run(f"{p}{editor} f.txt", "f.txt", "f.txt")
    bash.type("ihello")
    bash.see("hello")
    bash.type(ESCAPE)
    bash.type(CTRL_Z)
    bash.see("Stopped", "PROMPT>")
    bash.run("fg", "f.txt", "\x1b[?1049h")
    bash.type(":wq\r")
    bash.prompt()
    bash.run("cat f.txt; echo E''ND", "hello\r\nEND", "PROMPT>")


def test_a_commit_message_written_in_an_editor(bash: Terminal, p: str) -> None:
    bash.run_to_prompt("git init -q; echo 1 > f; git add f")
    bash.run(f"EDITOR='{EDITOR}' {p}git commit", "COMMIT_EDITMSG")
    bash.type("imessage")
    bash.see("message")
    bash.type(f"{ESCAPE}:wq\r")
    bash.prompt()
    bash.run("git log --format=%s | cat; echo E''ND", "message\r\nEND", "PROMPT>")


def test_a_new_size_while_it_runs(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}{SIZES} go", "READY")
    bash.resize(44, 77)
    bash.see("SIZE 44x77")
    bash.open_gate()
    bash.prompt()


def test_a_new_size_while_it_is_stopped(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}{SIZES} go", "READY")
    bash.type(CTRL_Z)
    bash.see("Stopped", "PROMPT>")
    bash.resize(41, 79)
    bash.run("fg")
    bash.job_in_front()
    bash.open_gate()
    bash.see("SIZE 41x79", "PROMPT>")


def test_a_new_size_for_a_command_whose_output_alone_is_a_terminal(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"echo | {p}{SIZES} go", "READY")
    bash.resize(43, 78)
    bash.see("SIZE 43x78")
    bash.open_gate()
    bash.prompt()


def test_modes_that_the_command_set_last(bash: Terminal, p: str) -> None:
    bash.run(f"{p}stty intr ^G; stty -a | tr ';' '\\n' | grep intr", "intr = ^G", "PROMPT>")


# Places in a pipeline, redirections


def test_the_last_of_a_pipeline_has_a_terminal(bash: Terminal, p: str) -> None:
    bash.run(f"seq 5 | {p}sh -c 'test -t 1 && echo T''TY; cat; exit 6'", "TTY", "1", "5", "PROMPT>")
    bash.code_is(6)


def test_standard_error_alone_is_a_terminal(bash: Terminal, p: str) -> None:
    bash.run(f"{p}sh -c 'test -t 2 && echo ER''R >&2; test -t 1 || echo fi''le' > f; cat f", "ERR", "file", "PROMPT>")


def test_closed_outputs(bash: Terminal, p: str) -> None:
    bash.run(f"{p}bash -c 'echo x; echo $? >codes; echo y >&2; echo $? >>codes' >&- 2>&-; cat codes", "1\r\n1\r\n")


def test_lines_are_ended_once(bash: Terminal, p: str) -> None:
    bash.run(f"{p}printf 'o''ne\\ntwo\\n'; echo | {p}printf 'th''ree\\nfour\\n'", "four\r\n", "PROMPT>")
    assert b"one\r\ntwo\r\n" in bash.seen
    assert b"three\r\nfour\r\n" in bash.seen


# Shells within, survivors


def test_an_inner_shell_with_jobs_of_its_own(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run_to_prompt(f"{p}bash --norc -i")
    bash.run("echo RE''ADY; cat go", "READY")
    bash.at_gate()
    bash.type(CTRL_Z)
    bash.see("Stopped", "PROMPT>")
    bash.run_to_prompt("jobs", "Stopped")
    bash.run("fg")
    bash.open_gate()
    bash.prompt()
    bash.run_to_prompt("exit")
    bash.run("echo OUT''ER $SHLVL", f"OUTER {int(os.environ.get('SHLVL', '0')) + 1}\r\n")


def test_nested(bash: Terminal, p: str) -> None:
    bash.run(f"{p}{p}sh -c 'echo RE''ADY; read x; echo GOT=$x; exit 9'", "READY")
    bash.type(CTRL_Z)
    bash.see("Stopped", "PROMPT>")
    bash.run("fg")
    bash.job_in_front()
    bash.run("kk", "GOT=kk", "PROMPT>")
    bash.code_is(9)


def test_a_child_that_writes_later_does_not_hold_the_prompt_up(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run(f"{p}sh -c '(cat go; echo LA''TE) & echo NOW'", "NOW", "PROMPT>")
    bash.run_to_prompt("echo HE''RE", "HERE")
    bash.open_gate()
    bash.see("LATE")


def test_the_end_of_the_terminal_hangs_up_the_job_in_front(bash: Terminal, p: str) -> None:
    loop = "while :; do sleep .05; done"
    bash.run(f"{p}bash -c 'trap \"echo hup >hup; exit\" HUP; echo RE''ADY; {loop}'", "READY")
    bash.close()
    wait_for((bash.folder / "hup").exists, "a hang-up for the command")


def test_the_end_of_the_shell_hangs_up_its_background_jobs(bash: Terminal, p: str) -> None:
    loop = "while :; do sleep .05; done"
    bash.run(f"{p}bash -c 'trap \"echo hup >hup; exit\" HUP; echo RE''ADY; {loop}' &", "READY")
    bash.type("kill -HUP $$\n")
    bash.until((bash.folder / "hup").exists, "a hang-up for the command")


def test_what_ignores_hang_ups_lives_on_after_logout(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    bash.run_to_prompt(f"nohup {p}sh -c 'echo up >up; cat go; echo ok >lived' >/dev/null 2>&1 &")
    bash.until((bash.folder / "up").exists)
    bash.type("exit\n")
    bash.close()
    bash.open_gate()
    wait_for((bash.folder / "lived").exists, "the command lives on")


def test_writes_and_reads_fail_once_the_terminal_is_gone(bash: Terminal, p: str) -> None:
    bash.shut_gate()
    rest = "cat go; while echo out; do sleep .01; done; read x; echo $? >rc; echo over >over"
    bash.run(f"{p}bash -c 'trap \"\" HUP; echo RE''ADY; {rest}'", "READY")
    bash.close()
    bash.open_gate()
    wait_for((bash.folder / "over").exists)
    assert (bash.folder / "rc").read_text() == "1\n"
