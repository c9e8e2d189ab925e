"""`anymask serve --contract label-studio` behind Label Studio itself: from the click to the exported mask."""

import http.cookiejar
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import numpy as np
import pytest

from anymask import SAM

pytestmark = pytest.mark.tools
ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "chelsea.jpg"
USER, PASSWORD = "ann@example.com", "a-long-password"
POINT, SIZE_HW = (220, 160), (300, 451)
CONFIG = re.search(r"```xml\n(.*?)```", (ROOT / "docs" / "annotation-tools.md").read_text(), re.DOTALL)[1]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class LabelStudio:
    """Label Studio as a process, and a user of it."""

    def __init__(self, folder):
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        environment = {
            **os.environ,
            "HOME": str(folder),
            "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
            "LABEL_STUDIO_USERNAME": USER,
            "LABEL_STUDIO_PASSWORD": PASSWORD,
            "USE_DEFAULT_BANNED_SUBNETS": "false",  # as docs/annotation-tools.md says: a backend on this machine
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
        }
        command = [ROOT / ".venv-tools/label-studio/bin/label-studio", "start", "--no-browser", "--host", self.address]
        command += ["--internal-host", "127.0.0.1", "--port", str(port)]
        with (folder / "log.txt").open("w") as log:
            self.process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        self.wait()
        self.personal_token = self.make_token()

    def wait(self):
        for _ in range(600):  # it makes its database first
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=5):
                    return
            except OSError:
                assert self.process.poll() is None
                time.sleep(0.5)
        raise TimeoutError

    def make_token(self):
        """A personal access token, as a user makes one on the page of the account."""
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        page = browser.open(f"{self.address}/user/login/").read().decode()
        form = {"csrfmiddlewaretoken": re.search(r'csrfmiddlewaretoken" value="([^"]+)', page)[1]}
        form |= {"email": USER, "password": PASSWORD}
        browser.open(f"{self.address}/user/login/", urllib.parse.urlencode(form).encode()).close()
        [cookie] = [cookie.value for cookie in jar if cookie.name == "csrftoken"]
        headers = {"Content-Type": "application/json", "X-CSRFToken": cookie, "Referer": self.address}
        return json.load(browser.open(urllib.request.Request(f"{self.address}/api/token/", b"{}", headers)))["token"]

    def ask(self, path, body=None, kind="application/json"):
        refresh = json.dumps({"refresh": self.personal_token}).encode()
        url = f"{self.address}/api/token/refresh"
        request = urllib.request.Request(url, refresh, {"Content-Type": "application/json"})
        access = json.load(urllib.request.urlopen(request, timeout=60))["access"]
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {access}", "Content-Type": kind}
        with urllib.request.urlopen(urllib.request.Request(self.address + path, data, headers), timeout=120) as answer:
            found = answer.read()
        return json.loads(found) if answer.headers["Content-Type"].startswith("application/json") else found

    def upload(self, project, photo):
        end = uuid.uuid4().hex
        head = f'--{end}\r\nContent-Disposition: form-data; name="file"; filename="{photo.name}"\r\n'
        body = f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + photo.read_bytes() + f"\r\n--{end}--\r\n".encode()
        self.ask(f"/api/projects/{project}/import", body, f"multipart/form-data; boundary={end}")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def label_studio(tmp_path_factory):
    started = LabelStudio(tmp_path_factory.mktemp("label-studio"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def backend(label_studio):
    """`anymask serve` with a password, and its address."""
    environment = {**os.environ, "LABEL_STUDIO_API_KEY": label_studio.personal_token}
    environment |= {"BASIC_AUTH_USER": "anymask", "BASIC_AUTH_PASS": "word"}
    command = [sys.executable, "-m", "anymask", "serve", "--contract", "label-studio", "--port", "0"]
    command += ["--label-studio", label_studio.address]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().split()[0].rstrip("/")
        process.terminate()


def test_from_the_click_to_the_exported_mask(label_studio, backend):
    project = label_studio.ask("/api/projects", {"title": "cats", "label_config": CONFIG})["id"]
    label_studio.upload(project, PHOTO)
    [task] = label_studio.ask(f"/api/tasks?project={project}")["tasks"]
    connection = {"project": project, "url": backend, "title": "anymask", "is_interactive": True}
    with pytest.raises(urllib.error.HTTPError):
        label_studio.ask("/api/ml", connection)
    connection |= {"auth_method": "BASIC_AUTH", "basic_auth_user": "anymask", "basic_auth_pass": "word"}
    model = label_studio.ask("/api/ml", connection)
    assert (model["state"], model["model_version"]) == ("CO", "sam-vit-nano")
    place = {"x": 100 * POINT[0] / SIZE_HW[1], "y": 100 * POINT[1] / SIZE_HW[0], "width": 0.3}
    click = {"type": "keypointlabels", "from_name": "point", "to_name": "image", "is_positive": True}
    click |= {"original_width": SIZE_HW[1], "original_height": SIZE_HW[0]}
    context = {"result": [{**click, "value": {**place, "keypointlabels": ["object"]}}]}
    question = {"task": task["id"], "context": context}
    answer = label_studio.ask(f"/api/ml/{model['id']}/interactive-annotating", question)
    result = answer["data"]["result"]
    label_studio.ask(f"/api/tasks/{task['id']}/annotations", {"result": result})
    file = label_studio.ask(f"/api/projects/{project}/export?exportType=BRUSH_TO_NUMPY")
    mask = np.load(io.BytesIO(file)) > 0
    expected = SAM("sam-vit-nano", device="cpu").predict(PHOTO, points=list(POINT))[0].masks.data[0]
    assert (mask == np.asarray(expected)).all()
