"""Names of checkpoints: those in the box are folders of this package, all others are left to the hub client.

`from_pretrained` of the configurations, the models and the processors asks here first and loads what comes back.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..support.unknown_names import nearest_name

WEIGHTS_FOLDER = Path(__file__).parent
PACKAGED_CHECKPOINTS = ("sam-vit-nano",)

HUB_IDS = {
    "sam_b.pt": "facebook/sam-vit-base",
    "sam_l.pt": "facebook/sam-vit-large",
    "sam_h.pt": "facebook/sam-vit-huge",
}
"""Names that other packages give to Meta's checkpoints, and where the hub has the same weights."""


def is_packaged(name_or_path: str | os.PathLike[str]) -> bool:
    """Say whether this names a checkpoint of this package, and no folder in the current directory."""
    return name_or_path in PACKAGED_CHECKPOINTS and not os.path.isdir(name_or_path)


def resolve_checkpoint(name_or_path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return the folder of a packaged checkpoint, or the hub id of Meta's, for its name; else what came.

    A folder or a file of the same name in the current directory wins, as it does over a repository on the hub. A `~` at
    the beginning stands for the home folder.

    Args:
        name_or_path: Name of a packaged checkpoint, hub id, or path.

    Raises:
        FileNotFoundError: If the name is packaged, but this installation lacks the folder, or can be no checkpoint's.
    """
    if isinstance(name_or_path, str | os.PathLike) and os.fspath(name_or_path).startswith("~"):
        name_or_path = os.path.expanduser(name_or_path)
    if name_or_path in HUB_IDS and not os.path.lexists(name_or_path):
        return HUB_IDS[str(name_or_path)]
    if not is_packaged(name_or_path):
        _check_can_exist(name_or_path)
        return name_or_path
    folder = WEIGHTS_FOLDER / name_or_path
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{name_or_path!r} must lie in {WEIGHTS_FOLDER}, where this installation of anymask has no such folder; "
            f"install anymask again, or pass a local folder or a hub id such as 'facebook/sam-vit-base'."
        )
    return str(folder)


def _check_can_exist(name_or_path: str | os.PathLike[str]) -> None:
    """Refuse a name that is no path here and cannot be on the hub either, which would be asked for many seconds.

    There, names without an owner are older than SAM. What ends like a file is reported as one, and a mirror may have
    names of its own.
    """
    if not isinstance(name_or_path, str) or os.path.lexists(name_or_path):
        return
    if name_or_path.startswith((".", "/")) or name_or_path.count("/") > 1:  # a path, whatever the hub
        if not os.path.splitext(name_or_path)[1]:
            raise FileNotFoundError(f"{name_or_path!r} must be a folder or file, but there is no such path.")
        return
    if "HF_ENDPOINT" in os.environ:
        return
    if os.path.basename(name_or_path) != name_or_path or os.path.splitext(name_or_path)[1]:
        return
    known = {name.rpartition("/")[2]: name for name in (*PACKAGED_CHECKPOINTS, *HUB_IDS, *HUB_IDS.values())}
    near = nearest_name(name_or_path, known)
    hint = f"{PACKAGED_CHECKPOINTS[0]!r} is in this package." if near is None else f"did you mean {known[near]!r}?"
    raise FileNotFoundError(
        f"{name_or_path!r} must be a folder or file, or the id of a checkpoint on the hub, owner/name, but there is no "
        f"such path, and it names no owner; {hint}"
    )


_BY_FILE_NAME = [
    ("SAM 2", r"sam[-_]?2(\.1)?(?![0-9])"),
    ("SAM 3", r"sam[-_]?3(?![0-9])"),
    ("SAM-HQ", r"sam[-_]?hq|hq[-_]?sam"),
    ("MobileSAM", r"mobile[-_]?sam"),
    ("FastSAM", r"fast[-_]?sam"),
    ("EfficientSAM", r"efficient[-_]?sam"),
    ("EfficientViT-SAM", r"efficientvit[-_]?sam"),
    ("EdgeSAM", r"edge[-_]?sam"),
    ("RepViT-SAM", r"rep[-_]?vit"),
    ("TinySAM", r"tiny[-_]?sam"),
    ("LiteMedSAM", r"lite[-_]?medsam"),
    ("YOLO", r"^yolo"),
]


def recognise_file_name(path: str) -> str | None:
    """The model that files, folders or hub ids of this name usually are, if it is one that is known and is not SAM."""
    name = path.replace("\\", "/").rpartition("/")[2].lower()
    return next((model for model, pattern in _BY_FILE_NAME if re.search(pattern, name)), None)
