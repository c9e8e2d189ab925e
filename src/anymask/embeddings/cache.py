"""EmbeddingCache: a folder of image embeddings, so that an image that was encoded once is not encoded again.

Every embedding is a file of its own, named by the key that `embed_image` makes of the image, the model and the
preprocessing. There is no index to keep, so any number of processes may use one folder: files appear whole, in one
step, and one that another process takes away is merely missing. A file's time says when it was last used.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from pathlib import Path

from .image_embedding import ImageEmbedding

_SUFFIX = ".safetensors"
_ABANDONED_SECONDS = 3600  # what is being written is younger


class EmbeddingCache:
    """A folder of image embeddings with a limit to its size; the one used longest ago goes first.

    It may cost time, never a result: an entry of which a bit is damaged, or that is another's, counts as missing and is
    replaced, and where the folder cannot be written, a full disk for example, the cache says so once and goes on with
    what it has.

    Examples:
        >>> from anymask import EmbeddingCache, SamModel, SamProcessor, embed_image
        >>> model = SamModel.from_pretrained("sam-vit-nano")
        >>> processor = SamProcessor.from_pretrained("sam-vit-nano")
        >>> cache = EmbeddingCache("embeddings", max_bytes=10**9)
        >>> embedding = embed_image(model, processor, "photo.jpg", cache=cache)
        >>> again = embed_image(model, processor, "photo.jpg", cache=cache)  # without the encoder
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int = 10 * 2**30) -> None:
        """Make the folder if it is not there.

        Args:
            folder: for nothing but this cache.
            max_bytes: of all entries together, in bytes. While several processes write, each may exceed it by one
                entry.

        Raises:
            OSError: If the folder cannot be made, or is a file.
            ValueError: If the limit is not positive.
        """
        if max_bytes < 1:
            raise ValueError(f"`max_bytes` must be the bytes that the cache may take, at least 1, got {max_bytes}.")
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._warned = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise type(error)(
                f"The folder of an embedding cache must be one that exists or can be made, but {self.folder}: "
                f"{error.strerror}; pass another folder."
            ) from error

    def get(self, key: str) -> ImageEmbedding | None:
        """Return the embedding under this key, mapped into memory from its file, or None if none is whole."""
        path = self._path(key)
        try:
            embedding = ImageEmbedding.load(path, key=key)
        except (OSError, ValueError):
            return None
        _mark_used(path)
        return embedding

    def put(self, key: str, embedding: ImageEmbedding) -> None:
        """Keep an embedding under this key, and remove those used longest ago if there are too many.

        Args:
            key: as `get` is asked for it; an entry that is there is replaced.
            embedding: on any device; the file keeps its type.

        Raises:
            ValueError: If the embedding alone is larger than the limit.
        """
        if embedding.tensor.nbytes > self.max_bytes:
            raise ValueError(
                f"`max_bytes` of an embedding cache must hold one embedding at least, of {embedding.tensor.nbytes} "
                f"bytes here, got {self.max_bytes}."
            )
        path = self._path(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)  # somebody may have cleared it
            embedding.save(path, key=key)
            _mark_used(path)
            self._evict(path)
        except OSError as error:
            if not self._warned:
                warnings.warn(
                    f"The embedding cache {self.folder} cannot be written ({error}); going on without keeping new "
                    "embeddings.",
                    stacklevel=2,
                )
            self._warned = True

    def clear(self) -> None:
        """Remove all entries."""
        for path in self.folder.glob(f"*{_SUFFIX}"):
            _remove(path)

    def _path(self, key: str) -> Path:
        if not key.isalnum():
            raise ValueError(f"A key must consist of letters and digits, got {key!r}; embed_image makes keys.")
        return self.folder / f"{key}{_SUFFIX}"

    def _evict(self, newest: Path) -> None:
        """Remove the entries used longest ago until all fit, and what killed processes left half-written."""
        entries = []
        for entry in os.scandir(self.folder):
            with contextlib.suppress(OSError):  # another process was quicker
                status = entry.stat()
                if entry.name.endswith(_SUFFIX):
                    entries.append((status.st_mtime_ns, status.st_size, Path(entry.path)))
                elif entry.name.endswith(".part") and status.st_mtime < time.time() - _ABANDONED_SECONDS:
                    _remove(Path(entry.path))
        excess = sum(size for _, size, _ in entries) - self.max_bytes
        for _, size, path in sorted(entries):
            if excess <= 0:
                break
            if path != newest:
                _remove(path)
                excess -= size


def _mark_used(path: Path) -> None:
    """Set a file's time to now, more finely than file systems do by themselves; a folder may be read-only."""
    now = time.time_ns()
    with contextlib.suppress(OSError):
        os.utime(path, ns=(now, now))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
