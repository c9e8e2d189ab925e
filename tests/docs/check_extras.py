"""Stands for pip in the documentation's bash blocks: installs nothing, but fails for an extra that setup.py lacks."""

import re
import sys
from importlib.metadata import metadata

named = {
    extra
    for argument in sys.argv[1:]
    for extras in re.findall(r"^(?:anymask|\.)\[(.+)\]", argument)
    for extra in extras.split(",")
}
missing = named - set(metadata("anymask").get_all("Provides-Extra", []))
sys.exit(f"anymask has no such extras: {sorted(missing)}" if missing else 0)
