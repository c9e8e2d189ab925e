"""Shards on a folder that processes and machines share: each is made by one, whole or not at all.

Who makes a shard holds a claim, a file beside the shard that is touched every few seconds. A claim whose holder died on
this machine, or that nobody has touched for `STALE_SECONDS`, is taken over by a file of the next number, which only one
process can make: the claim that counts is the one of the highest number.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..support.atomic_files import keep_settings

STALE_SECONDS = 120.0
_TOUCH_SECONDS = 10.0


def shard_slice(index: int, n_shards: int, n_images: int) -> slice:
    """The images of a shard: parts of a list that differ by one in length at the most."""
    return slice(index * n_images // n_shards, (index + 1) * n_images // n_shards)


class ShardFolder:
    """The folder that a run writes to.

    Args:
        folder: Made if it is not there.
        n_shards: How many there are.
        ending: Of a shard's file.
        settings: What the shards follow from; a folder of other settings is refused.

    Raises:
        ValueError: If the folder holds shards of another run.
    """

    def __init__(self, folder: str | os.PathLike[str], n_shards: int, ending: str, settings: dict[str, Any]):
        self.folder, self.n_shards, self.ending = Path(folder), n_shards, ending
        keep_settings(self.folder, settings)

    def path(self, index: int) -> Path:
        """The file of a shard."""
        return self.folder / f"shard_{index:05d}{self.ending}"

    def counts_path(self, index: int) -> Path:
        """What a shard holds, in numbers; there before the shard is."""
        return self.folder / f"shard_{index:05d}.counts"

    def missing(self) -> list[int]:
        """Shards that are not there yet."""
        return [index for index in range(self.n_shards) if not self.path(index).exists()]

    def tidy(self) -> None:
        """Remove what claims of processes that were killed left, when no shard is missing."""
        for left in self.folder.glob(".shard_*.claim*"):
            left.unlink(missing_ok=True)

    @contextmanager
    def claim(self, index: int) -> Iterator[bool]:
        """Hold a shard while it is made; False if it is there already, or another holds it."""
        claim = None if self.path(index).exists() else _take(self.folder, f".shard_{index:05d}.claim")
        if claim is None:
            yield False
            return
        released = threading.Event()
        keeper = threading.Thread(target=_keep, args=(claim, released), daemon=True)
        keeper.start()
        try:
            for unfinished in self.folder.glob(f".shard_{index:05d}.*.part"):  # of a holder that was killed
                unfinished.unlink(missing_ok=True)
            yield not self.path(index).exists()  # it may have been finished between the two looks
        finally:
            released.set()
            keeper.join()
            for number in range(_number(claim) + 1):  # its own last, so that no earlier one counts meanwhile
                claim.with_suffix(f".{number}").unlink(missing_ok=True)


def _take(folder: Path, name: str) -> Path | None:
    """Make the claim of the next number; None where another holds the shard, or is quicker."""
    claims = [claim for claim in folder.glob(f"{name}.*") if claim.suffix[1:].isdecimal()]
    earlier = max(claims, key=_number, default=None)
    holder_before = None
    if earlier is not None:
        holder_before = _read(earlier)
        if holder_before is None or not _is_abandoned(earlier, holder_before):
            return None
    claim = folder / f"{name}.{0 if earlier is None else _number(earlier) + 1}"
    # A link appears with its content, and fails where there is one, on network folders too.
    own = folder / f"{name}.{uuid.uuid4().hex}.new"
    own.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "claim": own.name}))
    try:
        os.link(own, claim)
    except (FileExistsError, FileNotFoundError):  # another was quicker; or all is done and tidied away
        return None
    finally:
        own.unlink(missing_ok=True)
    if earlier is not None and _read(earlier) != holder_before:  # another took over, gave up and left in the meantime
        claim.unlink(missing_ok=True)
        return None
    return claim


def _number(claim: Path) -> int:
    return int(claim.suffix[1:])


def _read(claim: Path) -> str | None:
    try:
        return claim.read_text()
    except FileNotFoundError:
        return None


def _is_abandoned(claim: Path, holder: str) -> bool:
    try:
        age = time.time() - claim.stat().st_mtime
    except FileNotFoundError:
        return False
    if age > STALE_SECONDS:
        return True
    try:
        host, process_id = (json.loads(holder)[key] for key in ("host", "pid"))
    except ValueError:  # a power cut left an empty file
        return False
    return host == socket.gethostname() and not _is_alive(int(process_id))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _keep(claim: Path, released: threading.Event) -> None:
    while not released.wait(_TOUCH_SECONDS):
        try:
            os.utime(claim)
        except FileNotFoundError:
            return


def work_on_shards(shards: ShardFolder, order: Sequence[int]) -> Iterator[int]:
    """Yield shards that this process is to make, each held while the caller makes it."""
    for index in order:
        with shards.claim(index) as is_mine:
            if is_mine:
                yield index
