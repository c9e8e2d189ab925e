"""The program in processes of its own: signals, closed pipes and output that cannot be written."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

COFFEE = Path(__file__).parents[2] / "examples" / "coffee.jpg"
PROGRAM = [sys.executable, "-m", "anymask"]


def start(*arguments, **options):
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def test_version():
    assert subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True).stdout.startswith("anymask 0.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", ["imports begin", "work begins"])
def test_signals_end_without_a_traceback(tmp_path, number, after):
    code = "import sys; sys.argv[1:] = {arguments}\nfrom anymask import __main__\n{before}__main__.main()"
    # A module of the command line tells when it is imported, that is after the handlers are set.
    tell = (
        "import builtins; real = __import__\ndef tell(name, *rest):\n    if name == 'typer': print('now', flush=True)\n"
    )
    tell += "    return real(name, *rest)\nbuiltins.__import__ = tell\n"
    photos = [str(COFFEE)] + [str(tmp_path / f"{index}.jpg") for index in range(40)]
    for photo in photos[1:]:
        Path(photo).write_bytes(COFFEE.read_bytes())
    arguments = ["segment", *photos, "-o", str(tmp_path / "out"), "--json", "--points-per-side", "4"]
    before = tell if after == "imports begin" else ""
    process = subprocess.Popen(
        [sys.executable, "-c", code.format(arguments=arguments, before=before)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell starts in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + number, "")
    if after == "work begins":
        assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_a_reader_that_goes_costs_nothing(tmp_path):
    for index in range(3):
        (tmp_path / f"{index}.jpg").write_bytes(COFFEE.read_bytes())
    process = start("segment", tmp_path, "-o", tmp_path / "out", "--point", "300,200", "--json", "-f", "sa1b")
    assert json.loads(process.stdout.readline())["status"] == "done"
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
    assert len(list((tmp_path / "out").iterdir())) == 3  # the work is done all the same


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_streams_that_are_closed_cost_nothing(closed):
    command = f'"$@" {closed}'
    for arguments, code in ((["--version"], 0), (["segment", "none.jpg"], 2)):
        shell = ["sh", "-c", command, "sh", *PROGRAM, *arguments]
        finished = subprocess.run(shell, capture_output=True, text=True)
        assert finished.returncode == code
        assert "Traceback" not in finished.stdout + finished.stderr


def test_help_for_a_reader_that_goes():
    process = start("segment", "--help")
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["info"], ["info", "--json"], ["segment", "none.jpg", "--json"]]
)
def test_output_that_cannot_be_written_is_one_line_and_exit_code_2(arguments):
    with open("/dev/full", "w") as full:
        finished = subprocess.run([*PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert finished.returncode == 2
    [line] = finished.stderr.splitlines()
    assert line.startswith("anymask: ")


@pytest.mark.parametrize(
    "arguments", [["segment", "x.jpg", "--pont", "5,5", "--json"], ["segmant", "--json"], ["convert", "in", "--json"]]
)
def test_wrong_usage_for_machines(arguments):
    finished = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (2, "")
    assert list(json.loads(finished.stdout)) == ["error"]


def test_completion_is_offered():
    environment = {**os.environ, "_ANYMASK_COMPLETE": "complete_bash", "COMP_WORDS": "anymask seg", "COMP_CWORD": "1"}
    finished = subprocess.run(PROGRAM, capture_output=True, text=True, env=environment)
    assert finished.stdout.split() == ["segment"]


def test_hints_are_one_plain_line(tmp_path):
    """Zero masks, and a GIF of several frames."""
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    arguments = ["-o", tmp_path, "--points-per-side", 2, "--pred-iou-thresh", 9, "--points", "adaptive", "-f", "sa1b"]
    finished = subprocess.run(
        [*PROGRAM, "segment", *map(str, [tmp_path / "moves.gif", *arguments])], capture_output=True, text=True
    )
    assert finished.returncode == 0
    pages, none = finished.stderr.splitlines()
    assert pages.startswith("anymask: The image file ") and "has 3 pages or frames" in pages
    assert "SAM.predict(load_image(source, page=1)) takes the second" in pages
    assert none.startswith("anymask: No mask of moves.gif passed pred_iou_thresh=9")


def test_a_disk_that_takes_no_more_is_one_line(tmp_path):
    """A limit of sizes in the place of a full disk, which writing meets in the same way; one process for all kinds."""
    code = """
import sys
from anymask.__main__ import main
for output in sys.argv[1:]:
    sys.argv[1:] = ["convert", "sam-vit-nano", output]
    try:
        main()
    except SystemExit as end:
        assert end.code == 2
"""
    outputs = [tmp_path / name for name in ("folder", "meta.pth", "meta.safetensors")]
    finished = subprocess.run(
        [sys.executable, "-c", code, *map(str, outputs)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )
    assert (finished.returncode, finished.stdout) == (0, "")
    for output, line in zip(outputs, finished.stderr.splitlines(), strict=True):
        assert line.startswith(f"anymask: {output} must be a f") and "File too large" in line
    assert os.listdir(tmp_path) == []
