"""The program `anymask`, also as `python -m anymask`: signals and closed pipes first, then what takes time."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command line and exit.

    Ctrl-C and SIGTERM end the process with 130 and 143 from here on; a command that has something to tidy up sets
    handlers of its own while it works, see `cli/reports.py`. What comes before, Python's own start, is beyond a
    program: there the signal itself ends the process, which shells report as 130 and 143 too, or Python's handler of
    Ctrl-C prints a traceback (decision 0037). So as little as possible is imported before this line.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup, and in the background of a script
            signal.signal(number, lambda received, frame: os._exit(128 + received))
    from .support.streams import ReaderMayGo

    sys.stdout, sys.stderr = ReaderMayGo(sys.stdout), ReaderMayGo(sys.stderr)
    from .cli.main import app

    app(prog_name="anymask")


if __name__ == "__main__":
    main()
