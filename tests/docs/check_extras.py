"""Stands for pip in the documentation's bash blocks: installs nothing, but fails for an extra that setup.py lacks."""

import re
import sys
from pathlib import Path

named = {
    extra
    for argument in sys.argv[1:]
    for extras in re.findall(r"^(?:anymask|\.)\[(.+)\]", argument)
    for extra in extras.split(",")
}
setup = (Path(__file__).parents[2] / "setup.py").read_text(encoding="utf-8")
missing = named - set(re.findall(r'^    "(\w+)": \[$', setup, re.MULTILINE))
sys.exit(f"anymask has no such extras: {sorted(missing)}" if missing else 0)
