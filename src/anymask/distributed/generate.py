"""Segment everything in folders of any size: shards made by one process, several, or several machines.

A shard is the unit of work: it is there whole or not at all, and who comes later makes what is missing. Which engine
made it changes no byte. What a run is and how a shard is made is in `job.py`; `ray_engine.py` is another engine.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

import torch
import torch.multiprocessing

from ..sam import SAM
from .job import LOOK_AGAIN_SECONDS, Job, make_job, work, write_manifest

if TYPE_CHECKING:
    from ..modeling_sam import SamModel
    from ..processing_sam import SamProcessor

_SHARED_BETWEEN_PROCESSES = ("cpu", "cuda")


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
            wait([process.sentinel for process, _ in processes if process.is_alive()], timeout=LOOK_AGAIN_SECONDS)
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
