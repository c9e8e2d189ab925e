"""Segment everything in folders of any size: shards made by one process, several, several machines, or Ray.

A shard is the unit of work: it is there whole or not at all, and who comes later makes what is missing. Which engine
made it changes no byte.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.multiprocessing

from .. import __version__
from ..embeddings.fingerprints import weights_digest
from ..sam import SAM
from ..support.atomic_files import write_whole
from .inputs import ImageReference, list_images
from .outputs import FORMATS, Segmented, write_shard
from .shards import ShardFolder, shard_slice, work_on_shards
from .worker import MaskWorker, error_row

if TYPE_CHECKING:
    from ..modeling_sam import SamModel
    from ..processing_sam import SamProcessor

IMAGES_PER_SHARD = 100
_LOOK_AGAIN_SECONDS = 1.0
_SHARED_BETWEEN_PROCESSES = ("cpu", "cuda")


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


def generate(
    source: str | os.PathLike[str] | Sequence[str],
    output: str | os.PathLike[str],
    *,
    model: str = "sam-vit-nano",
    options: Mapping[str, Any] | None = None,
    n_shards: int | None = None,
    workers: int | None = None,
    devices: Sequence[str] | None = None,
    dtype: str | None = None,
    format_name: str = "sa1b",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Segment everything in many images, shard by shard; what an earlier call left unfinished is finished.

    Several machines may call this with one shared folder at once. The result does not depend on who made what.

    Args:
        source: See `list_images`.
        output: Folder for the shards and `manifest.json`.
        model: What `anymask.SAM` takes.
        options: Of `MaskGenerationOptions`, and "max_area_share"; see `MaskWorker` and `PRESETS`.
        n_shards: How many shards; by default one for each hundred images.
        workers: Processes on this machine, by default one for each of `devices`. Those on one device share one model,
            and each takes one core, so a CPU wants as many as it has. One works in the caller's process; a script that
            asks for more needs Python's `if __name__ == "__main__":`.
        devices: Torch devices, dealt out to the workers in turn; None takes a GPU where there is one.
        dtype: Name of a torch dtype.
        format_name: "sa1b", "coco" or "parquet".
        progress: Called with the number of shards that are there, and of all, about every second.

    Returns:
        The manifest: settings, totals, and for each shard its file, digest and counts.

    Raises:
        ValueError: If the folder holds shards of other settings, or a number cannot be.
        RuntimeError: If a worker failed; its message names the error.
    """
    if devices is not None and not devices:
        raise ValueError("`devices` must name at least one device, or be None, got none.")
    dealt = [None] if devices is None else list(devices)
    workers = len(dealt) if workers is None else workers
    if workers < len(dealt):
        raise ValueError(f"`workers` must be at least 1 for each of {len(dealt)} devices, got {workers}.")
    devices_of = [dealt[index % len(dealt)] for index in range(workers)]
    job = make_job(source, output, model, options, n_shards=n_shards, dtype=dtype, format_name=format_name)
    if missing := job.shards().missing():
        devices_of = devices_of[: len(missing)]
        if len(devices_of) == 1:
            work(job, devices_of[0], 0, progress)
        else:
            _work_in_processes(job, devices_of, progress)
    return write_manifest(job)


def workers_of_machine(devices: Sequence[str] | None) -> int:
    """How many workers use a whole machine: one for each device, and on a CPU one for each core that torch may use."""
    on_cpu = not torch.cuda.is_available() if devices is None else set(devices) == {"cpu"}
    return max(torch.get_num_threads() if on_cpu else 1, len(devices or ()))


def make_job(
    source: str | os.PathLike[str] | Sequence[str],
    output: str | os.PathLike[str],
    model: str,
    options: Mapping[str, Any] | None,
    n_shards: int | None,
    dtype: str | None,
    format_name: str,
) -> Job:
    """A run from the arguments of `generate`; values that cannot be are refused, and a model that cannot be loaded."""
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
            time.sleep(_LOOK_AGAIN_SECONDS)


def share_models(job: Job, devices: Sequence[str | None]) -> dict[str | None, tuple[SamModel, SamProcessor]]:
    """Load the model of a run once for each device, to be handed to processes that then compute with the same memory.

    Args:
        job: The run.
        devices: Torch devices, as often as there are workers; None is a GPU where there is one.

    Returns:
        Model and processor by device. Devices whose memory torch cannot hand to another process, such as "mps", are
        left out: there each worker loads its own.
    """
    models = {}
    for device in dict.fromkeys(devices):
        sam = SAM(job.model, device=device, dtype=job.dtype)
        if sam.model.device.type in _SHARED_BETWEEN_PROCESSES:
            models[device] = (sam.model.share_memory(), sam.processor)
    return models


def _work_in_processes(job: Job, devices: Sequence[str | None], progress: Callable[[int, int], None] | None) -> None:
    context = torch.multiprocessing.get_context("spawn")  # hands over tensors by their memory
    models = share_models(job, devices)  # the memory is this process's: it keeps the models until all have ended
    processes = []
    for number, device in enumerate(devices):
        errors, sender = context.Pipe(duplex=False)
        first = number * job.n_shards // len(devices)
        arguments = (job, device, first, sender, models.get(device))
        process = context.Process(target=_process, args=arguments, daemon=True)
        process.start()
        sender.close()
        processes.append((process, errors))
    shards = job.shards()
    try:
        while any(process.is_alive() for process, _ in processes):
            wait([process.sentinel for process, _ in processes if process.is_alive()], timeout=_LOOK_AGAIN_SECONDS)
            if progress is not None:
                progress(job.n_shards - len(shards.missing()), job.n_shards)
            for process, errors in processes:
                if not process.is_alive() and process.exitcode:
                    raise RuntimeError(f"A worker must finish its shards, but one failed: {_reason(process, errors)}.")
    finally:
        for process, _ in processes:
            process.terminate()
            process.join()


def _reason(process: Any, errors: Any) -> str:
    try:
        return str(errors.recv())
    except EOFError:
        return f"exit code {process.exitcode}"


def _process(
    job: Job,
    device: str | None,
    first: int,
    sender: Any,
    shared: tuple[SamModel, SamProcessor] | None,
) -> None:
    """What runs in a worker's process."""
    parent = multiprocessing.parent_process()
    if parent is not None:  # a worker does not outlive a run that was killed
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
    try:
        work(job, device, first, shared=shared)
    except Exception as error:
        sender.send(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from None


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
    document = (json.dumps(manifest, indent=1) + "\n").encode()
    write_whole(shards.folder / "manifest.json", lambda file: file.write(document))
    return manifest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else hashlib.sha256(file.read())
    return digest.hexdigest()
