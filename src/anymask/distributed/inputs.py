"""What is to be segmented, as a list of references that workers read themselves: files, URLs, tars, Parquet.

The list is in one order on every machine, so that shard 7 is the same images everywhere.
"""

from __future__ import annotations

import glob
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from ..images.files import IMAGE_SUFFIXES
from ..support.download import download

DOWNLOAD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ImageReference:
    """Where an image is.

    Attributes:
        name: Of the image, by which its row is found again; unique in a list.
        source: A path or URL.
        offset: In a tar, where the image's bytes begin; in Parquet, the row; else 0.
        size: In a tar, how many bytes they are; else -1.
    """

    name: str
    source: str
    offset: int = 0
    size: int = -1

    def read(self) -> Any:
        """What `anymask.load_image` takes: a path, or the bytes of what lies in a file or behind a URL.

        Raises:
            OSError: If it is not to be had.
        """
        if self.source.startswith(("http://", "https://")):
            return download(self.source, DOWNLOAD_SECONDS).read()
        if self.size >= 0:
            with open(self.source, "rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        return _parquet_images(self.source)[self.offset] if self.source.endswith(".parquet") else self.source


def list_images(source: str | os.PathLike[str] | Sequence[str]) -> list[ImageReference]:
    """List the images that a source stands for, sorted by name.

    Args:
        source: A folder, searched to any depth; a glob; a .txt file with a path or URL in each line; a .tar, or a
            folder or glob of tars, with images in them, such as SA-1B's and webdataset's; a .parquet file with a column
            "image" of bytes, or of Hugging Face's {"bytes", "path"}; or a list of these.

    Raises:
        FileNotFoundError: If nothing is there.
        ValueError: If two images would have one name.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    found = [reference for one in sources for reference in _list_one(os.path.expanduser(os.fspath(one)))]
    if not found:
        raise FileNotFoundError(f"There must be images to segment, but {', '.join(map(repr, sources))} has none.")
    found.sort(key=lambda reference: reference.name)
    for first, second in pairwise(found):
        if first.name == second.name:
            raise ValueError(
                f"Each image must have a name of its own, but {first.source} and {second.source} are both called "
                f"{first.name!r}; run them into two output folders."
            )
    return found


def _list_one(source: str) -> list[ImageReference]:
    if source.startswith(("http://", "https://")):
        return [ImageReference(source, source)]
    if os.path.isdir(source):
        folder = Path(source)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return [reference for path in paths for reference in _in_file(path, path.relative_to(folder).as_posix())]
    if os.path.isfile(source):
        return _in_file(Path(source), Path(source).name, is_named=True)
    return [
        reference
        for path in sorted(glob.glob(source, recursive=True))
        for reference in _in_file(Path(path), Path(path).as_posix())
    ]


def _in_file(path: Path, name: str, is_named: bool = False) -> list[ImageReference]:
    """The images of a file; of one that was named itself, whatever its ending."""
    ending = path.suffix.lower()
    if ending == ".tar":
        return _in_tar(path)
    if ending == ".parquet":
        return [ImageReference(f"{name}:{row:07d}", str(path), row) for row in range(_parquet_rows(str(path)))]
    if ending == ".txt" and is_named:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        return [ImageReference(line, _beside(path, line)) for line in lines if line]
    return [ImageReference(name, str(path))] if ending in IMAGE_SUFFIXES or is_named else []


def _beside(path: Path, line: str) -> str:
    """A line of a list: a URL, or a path relative to the list."""
    return line if line.startswith(("http://", "https://")) else str(path.parent / os.path.expanduser(line))


def _in_tar(path: Path) -> list[ImageReference]:
    with tarfile.open(path, "r:") as tar:
        return [
            ImageReference(member.name.removeprefix("./"), str(path), member.offset_data, member.size)
            for member in tar
            if member.isfile() and PurePosixPath(member.name).suffix.lower() in IMAGE_SUFFIXES
        ]


def _parquet(path: str) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow, which is not installed; run pip install 'anymask[scale]'.") from error
    return pyarrow.parquet.ParquetFile(path)


def _parquet_rows(path: str) -> int:
    return int(_parquet(path).metadata.num_rows)


class _ParquetImages:
    """The column "image" of a file; one group of rows is in memory."""

    def __init__(self, path: str):
        self._file = _parquet(path)
        if "image" not in self._file.schema_arrow.names:
            names = ", ".join(self._file.schema_arrow.names)
            raise ValueError(f"{path} must have a column 'image' of bytes, but its columns are {names}.")
        self._group, self._first, self._rows = -1, 0, []  # type: ignore[var-annotated]

    def __getitem__(self, row: int) -> bytes:
        if not self._first <= row < self._first + len(self._rows):
            self._load(row)
        value = self._rows[row - self._first]
        return value["bytes"] if isinstance(value, dict) else value

    def _load(self, row: int) -> None:
        first = 0
        for group in range(self._file.metadata.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            if row < first + count:
                self._first, self._rows = first, self._file.read_row_group(group, ["image"])["image"].to_pylist()
                return
            first += count
        raise IndexError(row)


@lru_cache(maxsize=1)
def _parquet_images(path: str) -> _ParquetImages:
    """A file's images; the file read last stays open in this process."""
    return _ParquetImages(path)
