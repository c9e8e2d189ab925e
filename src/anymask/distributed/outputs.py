"""One file for each shard: SA-1B's tar of images and JSON, Parquet, or COCO. The same rows give the same bytes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from ..support.atomic_files import write_whole
from .inputs import ImageReference
from .worker import Row

Pairs = Iterable[tuple[ImageReference, Row]]


class ShardFormat(NamedTuple):
    """How a shard is written.

    Attributes:
        ending: Of its file.
        write: Takes the file and the images with their rows, as they come.
    """

    ending: str
    write: Callable[[BinaryIO, Pairs], None]


def write_shard(path: Path, counts_path: Path, format_name: str, pairs: Pairs) -> None:
    """Write a shard, whole or not at all, and before it a small file that counts its images, masks and errors."""
    counts = {"images": 0, "masks": 0, "errors": 0}

    def counted() -> Pairs:
        for reference, row in pairs:
            counts["images"] += 1
            counts["masks"] += len(row["masks"])
            counts["errors"] += row["error"] is not None
            yield reference, row

    def write(file: BinaryIO) -> None:
        FORMATS[format_name].write(file, counted())
        write_whole(counts_path, lambda counts_file: counts_file.write(json.dumps(counts).encode()))

    write_whole(path, write)


def _write_sa1b(file: BinaryIO, pairs: Pairs) -> None:
    """A tar with each image, its bytes as they were, and a JSON of SA-1B's form under the same stem."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, (reference, row) in enumerate(pairs):
            name = PurePosixPath(reference.name.rpartition("://")[2].lstrip("/"))
            if row["error"] is None:
                _add(tar, str(name), _bytes_of(reference))
            image = {"image_id": number, "file_name": str(name), "height": row["height"], "width": row["width"]}
            annotations = [{"id": index, **record} for index, record in enumerate(row["masks"])]
            document = {"image": image, "annotations": annotations}
            if row["error"] is not None:
                document["error"] = row["error"]
            _add(tar, str(name.with_suffix(".json")), json.dumps(document).encode())


def _write_coco(file: BinaryIO, pairs: Pairs) -> None:
    """COCO JSON; images that could not be read are listed with their "error"."""
    annotations: list[bytes] = []
    images: list[dict[str, Any]] = []
    for number, (reference, row) in enumerate(pairs, start=1):
        image = {"id": number, "file_name": reference.name, "height": row["height"], "width": row["width"]}
        images.append(image if row["error"] is None else {**image, "error": row["error"]})
        for record in row["masks"]:
            annotation = {"image_id": number, "category_id": 1, "iscrowd": 0, **record}
            annotations.append(json.dumps(annotation).encode())
    file.write(b'{"categories": [{"id": 1, "name": "object"}],\n"images": ')
    file.write(json.dumps(images).encode() + b',\n"annotations": [')
    for number, line in enumerate(annotations, start=1):
        file.write((b",\n" if number > 1 else b"\n") + b'{"id": %d, ' % number + line[1:])
    file.write(b"\n]}\n")


def _write_parquet(file: BinaryIO, pairs: Pairs) -> None:
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
        for _, row in pairs:
            writer.write_table(pa.Table.from_pylist([row], schema=schema))


FORMATS: dict[str, ShardFormat] = {
    "sa1b": ShardFormat(".tar", _write_sa1b),
    "coco": ShardFormat(".json", _write_coco),
    "parquet": ShardFormat(".parquet", _write_parquet),
}


def _bytes_of(reference: ImageReference) -> bytes:
    """An image's file as it is; one behind a URL is read once more, and kept as PNG."""
    source = reference.read()
    if isinstance(source, bytes):
        return source
    if source.startswith(("http://", "https://")):
        from PIL import Image

        from ..images.load import load_image

        picture = load_image(source)
        buffer = io.BytesIO()
        (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, "PNG")
        return buffer.getvalue()
    return Path(source).read_bytes()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without owner and time, which would make the same shard other bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
