"""Shards on a folder that processes and machines share: each is made by one, whole or not at all.

Who makes a shard holds a claim, a file beside the shard that is touched every few seconds. A claim whose holder died on
this machine, or that nobody has touched for `STALE_SECONDS`, is taken over: by a rename, which succeeds for one only.
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
        claim = self.folder / f".shard_{index:05d}.claim"
        if self.path(index).exists() or not _take(claim):
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
            claim.unlink(missing_ok=True)


def _take(claim: Path) -> bool:
    holder = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()
    for _ in range(2):
        # A link appears with its content, and fails where there is one, on network folders too.
        own = claim.with_name(f"{claim.name}.{uuid.uuid4().hex}")
        own.write_bytes(holder)
        try:
            os.link(own, claim)
        except FileNotFoundError:  # tidied away: there is nothing left to make
            return False
        except FileExistsError:
            if not _is_abandoned(claim):
                return False
            try:  # of all that find it abandoned, one renames it; the others find it gone
                abandoned = claim.with_name(f"{claim.name}.{uuid.uuid4().hex}")
                os.rename(claim, abandoned)
                abandoned.unlink()
            except FileNotFoundError:
                return False
        else:
            return True
        finally:
            own.unlink(missing_ok=True)
    return False


def _is_abandoned(claim: Path) -> bool:
    try:
        age = time.time() - claim.stat().st_mtime
        holder = json.loads(claim.read_text())
    except FileNotFoundError:
        return False
    if holder["host"] == socket.gethostname() and not _is_alive(int(holder["pid"])):
        return True
    return age > STALE_SECONDS


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
