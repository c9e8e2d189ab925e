"""One file for each shard: SA-1B's tar of images and JSON, Parquet, or COCO. The same rows give the same bytes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from ..support.atomic_files import write_json, write_whole
from .worker import Row


class Segmented(NamedTuple):
    """An image and what became of it.

    Attributes:
        name: Of the image.
        source: What was read: a path or the file's bytes; None where that failed.
        row: See `MaskWorker`.
    """

    name: str
    source: str | bytes | None
    row: Row


class ShardFormat(NamedTuple):
    """How a shard is written.

    Attributes:
        ending: Of its file.
        write: Takes the file and what became of the images, as they come.
    """

    ending: str
    write: Callable[[BinaryIO, Iterable[Segmented]], None]


def write_shard(path: Path, counts_path: Path, format_name: str, images: Iterable[Segmented]) -> None:
    """Write a shard, whole or not at all, and before it a small file that counts its images, masks and errors."""
    counts = {"images": 0, "masks": 0, "errors": 0}

    def counted() -> Iterable[Segmented]:
        for image in images:
            counts["images"] += 1
            counts["masks"] += len(image.row["masks"])
            counts["errors"] += image.row["error"] is not None
            yield image

    def write(file: BinaryIO) -> None:
        FORMATS[format_name].write(file, counted())
        write_json(counts_path, counts, indent=None)

    write_whole(path, write)


def _write_sa1b(file: BinaryIO, images: Iterable[Segmented]) -> None:
    """A tar with each image, its bytes as they were, and a JSON of SA-1B's form under the same stem."""
    used: set[str] = set()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, (full_name, source, row) in enumerate(images):
            name = PurePosixPath(full_name.rpartition("://")[2].lstrip("/"))
            if row["error"] is None and source is not None:
                _add(tar, str(name), source if isinstance(source, bytes) else Path(source).read_bytes())
            image = {"image_id": number, "file_name": str(name), "height": row["height"], "width": row["width"]}
            annotations = [{"id": index, **record} for index, record in enumerate(row["masks"])]
            document = {"image": image, "annotations": annotations}
            if row["error"] is not None:
                document["error"] = row["error"]
            stem = str(name.with_suffix(""))
            stem = str(name) if stem in used else stem  # cup.png beside cup.jpg
            used.add(stem)
            _add(tar, f"{stem}.json", json.dumps(document).encode())


def _write_coco(file: BinaryIO, images: Iterable[Segmented]) -> None:
    """COCO JSON; images that could not be read are listed with their "error"."""
    annotations: list[bytes] = []
    heads: list[dict[str, Any]] = []
    for number, (name, _, row) in enumerate(images, start=1):
        image = {"id": number, "file_name": name, "height": row["height"], "width": row["width"]}
        heads.append(image if row["error"] is None else {**image, "error": row["error"]})
        for record in row["masks"]:
            annotation = {"image_id": number, "category_id": 1, "iscrowd": 0, **record}
            annotations.append(json.dumps(annotation).encode())
    file.write(b'{"categories": [{"id": 1, "name": "object"}],\n"images": ')
    file.write(json.dumps(heads).encode() + b',\n"annotations": [')
    for number, line in enumerate(annotations, start=1):
        file.write((b",\n" if number > 1 else b"\n") + b'{"id": %d, ' % number + line[1:])
    file.write(b"\n]}\n")


def _write_parquet(file: BinaryIO, images: Iterable[Segmented]) -> None:
    """A row for each image: name, height, width, error, and a list of masks."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ImportError(
            "Parquet needs pyarrow, which is not installed; run pip install 'anymask[scale]', or write sa1b or coco."
        ) from error
    mask = pa.struct(
        [
            ("segmentation", pa.struct([("size", pa.list_(pa.int64())), ("counts", pa.string())])),
            ("area", pa.int64()),
            ("bbox", pa.list_(pa.float64())),
            ("predicted_iou", pa.float64()),
            ("point_coords", pa.list_(pa.list_(pa.float64()))),
            ("stability_score", pa.float64()),
            ("crop_box", pa.list_(pa.float64())),
        ]
    )
    schema = pa.schema(
        [
            ("name", pa.string()),
            ("height", pa.int64()),
            ("width", pa.int64()),
            ("masks", pa.list_(mask)),
            ("error", pa.string()),
        ]
    )
    with parquet.ParquetWriter(file, schema) as writer:
        for image in images:
            writer.write_table(pa.Table.from_pylist([image.row], schema=schema))


FORMATS: dict[str, ShardFormat] = {
    "sa1b": ShardFormat(".tar", _write_sa1b),
    "coco": ShardFormat(".json", _write_coco),
    "parquet": ShardFormat(".parquet", _write_parquet),
}


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without owner and time, which would make the same shard other bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
