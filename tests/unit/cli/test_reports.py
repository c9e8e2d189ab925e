import errno
import json
import os
import signal
import subprocess
import sys

import pytest
import typer

from anymask.cli.reports import errors_reported, is_disk_full, one_line


@pytest.mark.parametrize("error", [OSError("a\n  b"), RuntimeError("a b"), ImportError("a b")])
def test_errors_are_one_line_and_exit_code_2(error, capsys):
    with pytest.raises(typer.Exit) as raised, errors_reported(as_json=False):
        raise error
    assert raised.value.exit_code == 2
    assert capsys.readouterr().err == "anymask: a b\n"


def test_errors_for_machines(capsys):
    with pytest.raises(typer.Exit), errors_reported(as_json=True):
        raise ValueError("a\nb")
    said = capsys.readouterr()
    assert json.loads(said.out) == {"error": "a b"}
    assert said.err == ""


def test_exit_codes_pass():
    with pytest.raises(typer.Exit) as raised, errors_reported(as_json=False):
        raise typer.Exit(1)
    assert raised.value.exit_code == 1


def test_errors_that_nobody_expects_are_one_line_too(capsys):
    with pytest.raises(typer.Exit) as raised, errors_reported(as_json=False):
        raise KeyError("x")
    assert raised.value.exit_code == 2
    assert capsys.readouterr().err == "anymask: KeyError: 'x'\n"


def test_a_full_disk_is_known_from_whatever_it_led_to():
    full = OSError(errno.ENOSPC, "No space left on device")
    told = ValueError("x.json must be a file that can be written")
    told.__cause__ = full
    assert is_disk_full(full)
    assert is_disk_full(told)
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))


def test_errors_without_a_message():
    assert one_line(MemoryError()) == "MemoryError"


def test_termination_cleans_up(tmp_path):
    program = """
import os, signal, sys
from pathlib import Path
from anymask.support.atomic_files import write_whole
from anymask.cli.reports import errors_reported

def write(file):
    file.write(b"half")
    os.kill(os.getpid(), signal.SIGTERM)

with errors_reported(as_json=False):
    write_whole(Path("result"), write)
"""
    finished = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 128 + signal.SIGTERM
    assert finished.stderr == ""
    assert os.listdir(tmp_path) == []
