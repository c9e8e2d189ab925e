import hashlib
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time

import pytest
import torch
import torch.multiprocessing

from anymask.distributed import job as module
from anymask.distributed.generate import generate, share_models, workers_of_machine
from anymask.distributed.job import make_job, work
from anymask.modeling_sam import SamModel
from anymask.processing_sam import SamProcessor

CALLS = """
import json, sys
from anymask.distributed.generate import generate
if __name__ == "__main__":
    for source, output, how in json.loads(sys.argv[1]):
        generate(source, output, n_shards=3, **how)
"""


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def undisturbed(photos, options, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    generate(photos, folder, options=options, n_shards=3)
    return contents(folder)


def test_the_manifest_says_what_is_there(undisturbed):
    manifest = json.loads(undisturbed["manifest.json"])
    assert manifest["totals"]["images"] == 6 and manifest["totals"]["errors"] == 1
    assert manifest["totals"]["masks"] > 0
    assert [shard["file"] for shard in manifest["shards"]] == [f"shard_{index:05d}.tar" for index in range(3)]
    for shard in manifest["shards"]:
        assert hashlib.sha256(undisturbed[shard["file"]]).hexdigest() == shard["sha256"]


def test_a_stopped_run_goes_on(photos, options, tmp_path, undisturbed):
    class Stop(BaseException):
        pass

    def stop(done, of):
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        generate(photos, tmp_path, options=options, n_shards=3, progress=stop)
    made = sorted(tmp_path.glob("shard_*.tar"))
    before = [path.stat().st_mtime_ns for path in made]
    assert len(made) == 2 and not (tmp_path / "manifest.json").exists()
    generate(photos, tmp_path, options=options, n_shards=3)
    assert contents(tmp_path) == undisturbed
    assert [path.stat().st_mtime_ns for path in made] == before  # not made again


def test_two_workers_give_what_one_gives_and_one_that_fails_says_why(photos, options, tmp_path, undisturbed):
    script = tmp_path / "run.py"
    script.write_text(CALLS)
    calls = {
        "workers": {"options": options, "workers": 2},
        "devices": {"options": options, "devices": ["cpu", "cpu"]},
        "fails": {"options": {"points_per_side": 0}, "workers": 2},
    }
    told = json.dumps([(str(photos), str(tmp_path / name), how) for name, how in calls.items()])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, script, told], capture_output=True, text=True, env=environment)
    assert contents(tmp_path / "workers") == undisturbed, done.stderr
    assert contents(tmp_path / "devices") == undisturbed, done.stderr
    assert done.returncode == 1
    assert "RuntimeError: A worker must finish its shards, but one failed: ValueError: `points_per_side`" in done.stderr


@pytest.mark.parametrize(("devices", "workers"), [(None, 3), (["cpu"], 3), (["cpu"] * 4, 4), (["cuda:0", "cuda:1"], 2)])
def test_a_machine_is_used_by_a_worker_for_each_core_or_device(devices, workers, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert workers_of_machine(devices) == workers


def test_the_number_of_cores_changes_no_byte(photos, options, tmp_path, undisturbed):
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            generate(photos, tmp_path / str(threads), options=options, n_shards=3)
            assert torch.get_num_threads() == threads
            assert contents(tmp_path / str(threads)) == undisturbed
    finally:
        torch.set_num_threads(before)


def write_into(model):
    with torch.no_grad():
        next(model.parameters()).fill_(7)


def test_workers_on_one_device_compute_with_the_same_memory(photos, options, tmp_path):
    """What another process writes into its weights is seen here, so they lie in memory once."""
    job = make_job(photos, tmp_path, "sam-vit-nano", options, 3, None, "coco")
    models = share_models(job, ["cpu", "cpu"])
    assert list(models) == ["cpu"]
    model, _ = models["cpu"]
    process = torch.multiprocessing.get_context("forkserver").Process(target=write_into, args=(model,))
    process.start()
    process.join()
    assert process.exitcode == 0 and (next(model.parameters()) == 7).all()


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kills"), [(1, 16), (2, 4)])
def test_killed_at_any_time_and_resumed_it_gives_the_same_bytes(workers, kills, photos, options, tmp_path, undisturbed):
    """The first kill comes when a run has just begun, the others anywhere in the time that one takes here and now.

    With two workers the parent is killed. The workers then end by themselves, and until then hold shards that the
    second call waits for.
    """
    context = multiprocessing.get_context("forkserver")  # imports torch once
    context.set_forkserver_preload(["anymask.distributed.generate"])
    chance = random.Random(workers)

    def start(target, *arguments, **more):
        process = context.Process(target=target, args=arguments, kwargs=more)
        process.start()
        return process

    start(os.getpid).join()
    begin = time.monotonic()
    whole = start(generate, photos, tmp_path / "whole", options=options, n_shards=3, workers=workers)
    whole.join()
    seconds = time.monotonic() - begin
    assert contents(tmp_path / "whole") == undisturbed
    under_way = 0
    for kill in range(kills):
        out = tmp_path / f"out{kill}"
        process = start(generate, photos, out, options=options, n_shards=3, workers=workers)
        process.join(chance.uniform(0, seconds) if kill else 0)
        while kill == 0 and not (out / "settings.json").exists():
            process.join(0.01)
        process.kill()
        process.join()
        under_way += (out / "settings.json").exists() and not (out / "manifest.json").exists()
        generate(photos, out, options=options, n_shards=3)
        assert contents(out) == undisturbed
    assert under_way


def test_a_checkpoint_of_the_same_name_with_other_weights_is_refused(photos, options, tmp_path):
    """The digest is that of the bytes of the weights, in the order of their names."""
    model = SamModel.from_pretrained("sam-vit-nano")
    model.save_pretrained(tmp_path / "model")
    SamProcessor.from_pretrained("sam-vit-nano").save_pretrained(tmp_path / "model")
    arguments = dict(model=str(tmp_path / "model"), options=options, n_shards=3)
    digest = hashlib.sha256()
    for name in sorted(weights := model.state_dict()):
        digest.update(f"{name} torch.float32 {tuple(weights[name].shape)}".encode() + weights[name].numpy().tobytes())
    manifest = generate(photos, tmp_path / "out", **arguments)
    assert manifest["settings"]["weights_sha256"] == digest.hexdigest()
    with torch.no_grad():  # a bias of the last layer of the decoder
        model.mask_decoder.iou_prediction_head.proj_out.bias[0] += 1e-3
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="made with another weights_sha256"):
        generate(photos, tmp_path / "out", **arguments)


def test_waits_for_what_another_holds(photos, options, tmp_path, monkeypatch):
    """A shard that another machine makes meanwhile is not made twice, and the run ends when it is there."""
    job = make_job(photos, tmp_path, "sam-vit-nano", options, 3, None, "coco")
    work(job, None, 0)
    shards = job.shards()
    held = shards.path(1).read_bytes()
    shards.path(1).unlink()
    with shards.claim(1):
        monkeypatch.setattr(module.time, "sleep", lambda seconds: shards.path(1).write_bytes(held))
        work(job, None, 0)
    assert shards.missing() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(workers=0), "`workers` must be at least 1 for each of 1 devices, got 0"),
        (dict(workers=1, devices=["cpu", "cpu"]), "`workers` must be at least 1 for each of 2 devices, got 1"),
        (dict(devices=[]), "`devices` must name at least one device"),
        (dict(n_shards=7), "from 1 to the number of images, 6, got 7"),
        (dict(format_name="csv"), "must be one of sa1b, coco, parquet, got 'csv'"),
    ],
)
def test_what_cannot_be(photos, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(photos, tmp_path / "out", **arguments)
