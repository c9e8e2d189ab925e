"""What a run that is done in pieces follows from, kept beside the pieces so that others are not mixed with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .atomic_files import write_whole


def keep_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write settings into a run's folder, or check them against those that are there.

    Args:
        folder: Made if it is not there.
        settings: What JSON can hold.

    Raises:
        ValueError: If the folder is another run's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.json"
    wanted = json.loads(json.dumps(settings))
    if not path.exists():
        write_whole(path, lambda file: file.write((json.dumps(wanted, indent=1) + "\n").encode()))
    found = json.loads(path.read_text(encoding="utf-8"))
    changed = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    if changed:
        raise ValueError(
            f"{folder} must be of a run with these settings, but was made with another {', '.join(changed)}; pass "
            f"another folder, or the settings in {path}."
        )
