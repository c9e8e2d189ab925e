"""How long is it from the start of `anymask` to the line from which on it answers Ctrl-C itself?

A process notes its clock at the line in question, against the clock of this one, which starts it: for Python alone,
for Python with what the script that pip writes imports before us, and for `import anymask.__main__`. The lowest counts,
since other programs can only make a start longer.

    python benchmarks/first_line.py --starts 101
"""

import argparse
import subprocess
import sys
import time
from statistics import median

LINES = {"Python": "", "re and sys": "import re, sys", "anymask.__main__": "import re, sys, anymask.__main__"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=21, help="of each")
    options = parser.parse_args()
    milliseconds: dict[str, list[float]] = {line: [] for line in LINES}
    for _ in range(options.starts):
        for line, imports in LINES.items():
            code = f"{imports}\nimport time\nprint(time.monotonic_ns())"
            start = time.monotonic_ns()
            printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
            milliseconds[line].append((int(printed) - start) / 1e6)
    for line, times in milliseconds.items():
        print(f"{line:16} lowest {min(times):.1f} ms, median {median(times):.1f} ms")


if __name__ == "__main__":
    main()
