"""A run of `anymask generate`: its images and settings as a `Job`, its shards made one by one, its manifest.

Engines deal shards out to whoever works: `generate.py` to processes of this machine, `ray_engine.py` to a cluster.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import __version__
from ..embeddings.fingerprints import weights_digest
from ..sam import SAM
from ..support.atomic_files import write_json
from .inputs import ImageReference, list_images
from .outputs import FORMATS, Segmented, write_shard
from .shards import ShardFolder, shard_slice, work_on_shards
from .worker import MaskWorker, error_row

if TYPE_CHECKING:
    from ..modeling_sam import SamModel
    from ..processing_sam import SamProcessor

IMAGES_PER_SHARD = 100
LOOK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Job:
    """A run: what is segmented, how, and where to. Small enough to be sent to every worker.

    Attributes:
        images: All of them, in order.
        folder: For the shards.
        n_shards: How many there are.
        format_name: Of `outputs.FORMATS`.
        model: What `anymask.SAM` takes.
        options: See `MaskWorker`.
        dtype: Name of a torch dtype, or None.
        weights_sha256: Of the model, so that a name under which another checkpoint lies today is told apart.
    """

    images: Sequence[ImageReference]
    folder: str
    n_shards: int
    format_name: str
    model: str
    options: Mapping[str, Any]
    dtype: str | None
    weights_sha256: str

    def shards(self) -> ShardFolder:
        """The folder of this run; see `ShardFolder`."""
        names = hashlib.sha256("\n".join(image.name for image in self.images).encode()).hexdigest()
        settings: dict[str, Any] = {
            "anymask": __version__,
            "model": self.model,
            "weights_sha256": self.weights_sha256,
            "options": dict(self.options),
            "dtype": self.dtype,
        }
        settings |= {"format": self.format_name, "shards": self.n_shards}
        settings |= {"images": len(self.images), "names": names}
        return ShardFolder(self.folder, self.n_shards, FORMATS[self.format_name].ending, settings)

    def make(self, index: int, shards: ShardFolder, worker: MaskWorker) -> None:
        """Make one shard, on one core: by how many threads a sum is shared shows in its last digits.

        So the bytes depend neither on the number of workers nor on that of the machine's cores.
        """
        images = self.images[shard_slice(index, self.n_shards, len(self.images))]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            write_shard(shards.path(index), shards.counts_path(index), self.format_name, _segment(images, worker))
        finally:
            torch.set_num_threads(threads)


def _segment(images: Sequence[ImageReference], worker: MaskWorker) -> Iterator[Segmented]:
    for image in images:
        try:
            source = image.read()
        except Exception as error:  # a row with the reason, as for an image that cannot be decoded
            yield Segmented(image.name, None, error_row(image.name, error))
            continue
        yield Segmented(image.name, source, worker.segment(image.name, source))


def make_job(
    source: str | os.PathLike[str] | Sequence[str],
    output: str | os.PathLike[str],
    model: str,
    options: Mapping[str, Any] | None,
    n_shards: int | None,
    dtype: str | None,
    format_name: str,
) -> Job:
    """A run from the arguments of `generate`; a model that cannot be loaded is refused now.

    Raises:
        FileNotFoundError: If there are no images.
        OSError: If there is no such checkpoint.
        ValueError: If there is no such format, or a number cannot be.
    """
    if format_name not in FORMATS:
        raise ValueError(f"`format_name` must be one of {', '.join(FORMATS)}, got {format_name!r}.")
    images = list_images(source)
    n_shards = -(-len(images) // IMAGES_PER_SHARD) if n_shards is None else n_shards
    if not 1 <= n_shards <= len(images):
        raise ValueError(f"`n_shards` must be from 1 to the number of images, {len(images)}, got {n_shards}.")
    digest = weights_digest(SAM(model, device="cpu", dtype=dtype).model)
    return Job(
        images,
        os.fspath(output),
        n_shards,
        format_name,
        model=model,
        options=dict(options or {}),
        dtype=dtype,
        weights_sha256=digest,
    )


def work(
    job: Job,
    device: str | None,
    first: int,
    progress: Callable[[int, int], None] | None = None,
    shared: tuple[SamModel, SamProcessor] | None = None,
) -> None:
    """Make shards until none is missing, beginning with the `first`; waits for those that others hold.

    Args:
        job: The run.
        device: See `MaskWorker`.
        first: Index of a shard.
        progress: See `generate`.
        shared: A model that is loaded, and its processor, in the place of the job's and of `device`.
    """
    shards = job.shards()
    worker: MaskWorker | None = None
    order = [(first + step) % job.n_shards for step in range(job.n_shards)]
    while missing := set(shards.missing()):
        made = False
        for index in work_on_shards(shards, [index for index in order if index in missing]):
            if worker is None and shared is not None:
                worker = MaskWorker(shared[0], job.options, processor=shared[1])
            worker = worker or MaskWorker(job.model, job.options, device=device, dtype=job.dtype)
            job.make(index, shards, worker)
            made = True
            if progress is not None:
                progress(job.n_shards - len(shards.missing()), job.n_shards)
        if not made:
            time.sleep(LOOK_AGAIN_SECONDS)


def write_manifest(job: Job) -> dict[str, Any]:
    """Write `manifest.json` of a run whose shards are all there, and return it."""
    shards = job.shards()
    shards.tidy()
    entries: list[dict[str, Any]] = []
    for index in range(job.n_shards):
        counts = json.loads(shards.counts_path(index).read_text())
        entries.append({"file": shards.path(index).name, "sha256": _digest(shards.path(index)), **counts})
    settings = json.loads((shards.folder / "settings.json").read_text())
    totals = {name: sum(entry[name] for entry in entries) for name in ("images", "masks", "errors")}
    manifest = {"settings": settings, "totals": totals, "shards": entries}
    write_json(shards.folder / "manifest.json", manifest, indent=1)
    return manifest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else hashlib.sha256(file.read())
    return digest.hexdigest()
