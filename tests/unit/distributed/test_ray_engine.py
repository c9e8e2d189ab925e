"""Ray starts processes for seconds, so this is not in the default run."""

import pytest

from anymask.distributed.generate import generate
from anymask.distributed.job import make_job


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_what_one_process_gives(photos, options, tmp_path):
    import ray

    from anymask.distributed.ray_engine import generate_with_ray

    generate(photos, tmp_path / "one", options=options, n_shards=3)
    job = make_job(photos, tmp_path / "ray", "sam-vit-nano", options, 3, None, "sa1b")
    generate_with_ray(job, actors=1)
    (tmp_path / "ray" / "shard_00001.tar").unlink()
    generate_with_ray(job, actors=2)  # only what is missing
    ray.shutdown()
    for path in (tmp_path / "one").iterdir():
        assert (tmp_path / "ray" / path.name).read_bytes() == path.read_bytes()
