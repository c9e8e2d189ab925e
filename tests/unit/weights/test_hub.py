import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from anymask.weights.hub import hub_answers, options_for_hub, require_at_hand


class Refusing(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(404)
        self.end_headers()

    def log_message(self, *args):
        pass


def test_any_answer_is_an_answer():
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        # Tests run with HF_HUB_OFFLINE=1, which the hub client reads once.
        code = f"from anymask.weights.hub import hub_answers; assert hub_answers('a/b', endpoint={endpoint!r})"
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "HF_HUB_OFFLINE": "0"}, check=True)
        server.shutdown()


def test_silence_is_none():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not hub_answers("a/b", endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.2)


def test_a_closed_port_is_none():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not hub_answers("a/b", endpoint=f"http://127.0.0.1:{port}")


def test_paths_are_not_looked_up(tmp_path):
    for name in (str(tmp_path), tmp_path, None):
        assert options_for_hub(name, {"revision": "x"}) == {"revision": "x"}
        require_at_hand(name)
    assert options_for_hub("a/b", {"local_files_only": True}) == {"local_files_only": True}


def test_without_network_only_the_cache_is_asked():
    assert options_for_hub("a/b", {"revision": "x"}) == {"revision": "x", "local_files_only": True}
    with pytest.raises(OSError, match=r"'a/b' must be a folder or file, .* 'sam-vit-nano' is in this package"):
        require_at_hand("a/b")
