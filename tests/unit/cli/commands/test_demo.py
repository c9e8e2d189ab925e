import base64
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from tests.unit.demo.conftest import picture

from anymask.cli.main import app

COMMAND = [sys.executable, "-m", "anymask"]


@pytest.mark.parametrize(
    ("arguments", "path", "says"),
    [
        (["demo", "photos", "--no-browser"], "api/info", "photo.png"),
        (["serve", "--contract", "label-studio", "--port", "0"], "health", "UP"),
        (["serve", "--contract", "samapi", "--port", "0"], "sam/weights/", "sam-vit-nano"),
    ],
)
def test_servers_start_answer_and_end(tmp_path, arguments, path, says):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "photo.png").write_bytes(picture())
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background of a script has them ignore it, and all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        address = process.stdout.readline().split()[0]
        with urllib.request.urlopen(address + path, timeout=60) as answer:
            assert says in json.dumps(json.load(answer))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_a_password_is_asked_for(tmp_path):
    command = [*COMMAND, "serve", "--contract", "label-studio", "--port", "0"]
    environment = {**os.environ, "BASIC_AUTH_USER": "ann", "BASIC_AUTH_PASS": "word"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().split()[0]
        request = urllib.request.Request(address + "health")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request, timeout=60)
        request.add_header("Authorization", "Basic " + base64.b64encode(b"ann:word").decode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer)["status"] == "UP"
        process.send_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["demo", "nothing.jpg"], "must exist"),
        (["demo", "--host", "192.0.2.1", "--no-browser"], "--host"),
        (["demo", "--static", "."], "must not be there"),
        (["serve"], "--contract"),
        (["serve", "--contract", "label-studio"], "BASIC_AUTH_PASS"),
        (["serve", "--contract", "samapi", "--label-studio", "http://localhost:1"], "--label-studio"),
    ],
)
def test_what_cannot_be_started(tmp_path, arguments, says, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BASIC_AUTH_USER", "ann")  # and no password
    with pytest.raises(SystemExit) as ended:
        app(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said
