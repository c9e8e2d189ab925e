"""Stands for `anymask demo` and `anymask serve` in bash blocks: starts the server, asks it once, and ends it by Ctrl-C.

`python serve_once.py demo photos/`. The port is a free one, and no browser is opened.
"""

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress

arguments = [*sys.argv[1:], "--port", "0", *(["--no-browser"] if sys.argv[1] == "demo" else [])]
server = subprocess.Popen(["anymask_", *arguments], stdout=subprocess.PIPE, text=True)
address = re.search(r"http://\S+", server.stdout.readline())
if address is None:
    sys.exit(server.wait() or "the server must say its address")
with suppress(urllib.error.HTTPError):  # an answer all the same: some servers have no first page
    urllib.request.urlopen(address[0], timeout=60).close()
server.send_signal(signal.SIGINT)
sys.exit(f"the server ended with {code}" if (code := server.wait(timeout=60)) not in (0, 130) else 0)
