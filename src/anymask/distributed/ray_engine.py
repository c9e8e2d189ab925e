"""The same run on Ray: an actor for each model, shards dealt out by Ray Data. Resuming is by the shards, as without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .job import Job, write_manifest
from .shards import ShardFolder
from .worker import MaskWorker


class ShardActor:
    """Makes the shards whose numbers it is given; Ray keeps one for each actor, and with it the model."""

    def __init__(self, job: Job, device: str | None):
        self.job, self.device = job, device
        self.shards: ShardFolder = job.shards()
        self.worker: MaskWorker | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Make some shards; returns their numbers."""
        for index in batch["shard"].tolist():
            with self.shards.claim(index) as is_mine:
                if is_mine:
                    if self.worker is None:
                        self.worker = MaskWorker(
                            self.job.model, self.job.options, device=self.device, dtype=self.job.dtype
                        )
                    self.job.make(index, self.shards, self.worker)
        return {"shard": np.asarray(batch["shard"])}


def generate_with_ray(
    job: Job, *, actors: int = 1, gpus_per_actor: float = 0, address: str | None = None
) -> dict[str, Any]:
    """Make what is missing of a run on Ray; returns the manifest.

    Args:
        job: See `job.make_job`. The images and the output folder must be reachable from every node.
        actors: Models that work at once.
        gpus_per_actor: GPUs, or a fraction of one, for each; 0 computes on CPUs.
        address: Of a cluster, as `ray.init` takes it; None takes a running one, or starts one here.

    Raises:
        ImportError: If Ray is not installed.
        RuntimeError: If shards are missing in the end, because another run holds them.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError(
            "This engine needs Ray, which is not installed; run pip install 'anymask[ray]', or use workers."
        ) from error
    if not ray.is_initialized():
        # Slots are logical: one more than actors, since reading the list of shards takes one.
        own = None if address else actors + 1
        ray.init(address=address, num_cpus=own, include_dashboard=False if own else None)
    shards = job.shards()
    if missing := shards.missing():
        numbers = ray.data.from_items([{"shard": index} for index in missing], override_num_blocks=len(missing))
        made = numbers.map_batches(
            ShardActor,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=1,
            num_gpus=gpus_per_actor,
            fn_constructor_kwargs={"job": job, "device": "cuda" if gpus_per_actor else "cpu"},
        )
        for _ in made.iter_batches(batch_size=None):
            pass
    if still_missing := shards.missing():
        raise RuntimeError(
            f"Every shard must be there in the end, but {len(still_missing)} are held by another run; call again when "
            "it has ended."
        )
    return write_manifest(job)
