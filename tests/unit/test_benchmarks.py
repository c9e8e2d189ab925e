"""Every benchmark runs with its smallest workload and writes what the report needs; no time is looked at."""

import importlib
import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("bench_*.py"))
MODULES = ("harness", "machine", "subjects", "their_steps", "blobs", "chart", "report", "run")


@pytest.fixture(autouse=True)
def _like_a_script(monkeypatch):
    """Scripts find the modules beside them, and leave neither these nor the number of threads behind."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    for name in MODULES:
        sys.modules.pop(name, None)


def run(monkeypatch, script, *arguments):
    path = BENCHMARKS / f"{script}.py"
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("script", SCRIPTS)
def test_smoke(script, monkeypatch, tmp_path, capsys):
    file = tmp_path / "results" / "result.json"
    run(monkeypatch, script, "--smoke", "--threads", "1", "--json", file)
    report = json.loads(file.read_text())
    assert report["benchmark"] == script.removeprefix("bench_")
    assert report["question"].endswith("?")
    environment = report["environment"]
    assert {"processor", "cores", "instructions", "memory_bytes", "platform", "python", "commit", "date"} <= set(
        environment
    )
    assert environment["threads"] == 1
    assert (
        environment["versions"]["torch"] == torch.__version__.split("+")[0] or "+" in environment["versions"]["torch"]
    )
    assert report["options"]["smoke"] is True
    assert len(report["rows"]) > 0
    for row in report["rows"]:
        assert row["unit"] in ("seconds", "bytes")
        assert list(row["results"]) == ["transformers", "anymask"]
        for result in row["results"].values():
            assert 0 < result["lowest"] <= result["median"] <= result["highest"]
            assert len(result["runs"]) == 1
        if row["unit"] == "seconds":
            assert row["results"]["anymask"]["agreement"]
    assert report["question"] in capsys.readouterr().out
    # The page has a place for the table.
    report_module = importlib.import_module("report")
    page = report_module.filled((BENCHMARKS.parent / "docs/performance.md").read_text(), [report])
    assert report["rows"][0]["what"] in page
    # And a bar in its chart.
    chart = importlib.import_module("chart")
    assert len(chart.ratios([report])) == len(report["rows"])
    chart.draw([report], tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_one_command_runs_every_script(monkeypatch, tmp_path):
    runs = importlib.import_module("run")
    assert {command[0].removesuffix(".py") for command in runs.RUNS.values()} == set(SCRIPTS)
    commands = []

    def recorded(command, check=False):
        commands.append(command)
        return SimpleNamespace(returncode="bench_click" in command[1])

    monkeypatch.setattr(runs.subprocess, "run", recorded)
    monkeypatch.setattr(
        sys, "argv", ["run.py", "--threads", "2", "--only", "decoder", "click", "--results", str(tmp_path)]
    )
    with pytest.raises(SystemExit, match="did not run to their end, their results are as they were: click"):
        runs.main()
    assert [Path(command[1]).name for command in commands] == ["bench_decoder.py", "bench_click.py", "report.py"]
    assert commands[0][2:] == ["--threads", "2", "--json", str(tmp_path / "decoder.json")]


def test_a_peer_gets_a_column(monkeypatch, tmp_path):
    peer, file = tmp_path / "twin.py", tmp_path / "result.json"
    peer.write_text(
        "def column(stage, pair, pixel_values):\n"
        "    assert stage == 'encoder'\n"
        "    return lambda: pair.theirs.get_image_embeddings(pixel_values)\n"
    )
    run(monkeypatch, "bench_encoder", "--smoke", "--peer", peer, "--json", file)
    [row] = json.loads(file.read_text())["rows"]
    assert list(row["results"]) == ["transformers", "anymask", "twin"]


def test_a_wrong_answer_has_no_time(monkeypatch, tmp_path):
    peer, file = tmp_path / "wrong.py", tmp_path / "result.json"
    peer.write_text(
        "def column(stage, pair, pixel_values):\n"
        "    return lambda: 1.01 * pair.theirs.get_image_embeddings(pixel_values)\n"
    )
    harness = importlib.import_module("harness")
    with pytest.raises(harness.DisagreementError, match=r"relative error must be at most 0\.0001, got 0\.01"):
        run(monkeypatch, "bench_encoder", "--smoke", "--peer", peer, "--json", file)
    assert not file.exists()


def result(runs):
    return {**importlib.import_module("harness").spread(runs), "agreement": {}}


def test_table():
    harness = importlib.import_module("harness")
    rows = [
        dict(
            what="a",
            unit="seconds",
            results={
                "transformers": result([3.0, 4.0, 8.0]),
                "anymask": {**result([0.5]), "agreement": {"mean IoU": 1.0}},
            },
        ),
        dict(
            what="b",
            unit="bytes",
            results={"transformers": {"not_run": "not run: 7 GiB of masks"}, "anymask": result([3 * 2**20])},
        ),
    ]
    assert harness.table({"rows": rows}).splitlines() == [
        "|   | transformers            | anymask | ratio | agreement  |",
        "| - | ----------------------- | ------- | ----- | ---------- |",
        "| a | 4 s (3 s to 8 s)        | 500 ms  | 8.0   | mean IoU 1 |",
        "| b | not run: 7 GiB of masks | 3 MiB   |       |            |",
    ]


def test_report_replaces_what_stands_between_the_marks():
    report = importlib.import_module("report")
    page = "before\n<!-- table: one -->\nold\n<!-- end -->\nbetween\n<!-- table: two -->\n<!-- end -->\nafter\n"
    row = dict(what="row", unit="seconds", results={"transformers": result([1.0]), "anymask": result([0.5])})
    environment = importlib.import_module("machine").environment_of(_options())
    once = report.filled(page, [dict(benchmark="two", rows=[row], environment=environment)])
    assert "old" not in once
    assert "Not measured yet." in once.split("between")[0]
    assert "| row | 1 s" in once.split("between")[1]
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    with pytest.raises(ValueError, match="marks for every benchmark"):
        report.filled(page, [dict(benchmark="three", rows=[row], environment=environment)])


def test_aims_are_held_against_results():
    report = importlib.import_module("report")
    both = {"transformers": result([30.0]), "anymask": result([10.0])}
    rows = [
        dict(what="ViT-B, float32, 1 x 1024 x 1024", unit="seconds", results=both),
        dict(what="ViT-B, bfloat16, 1 x 1024 x 1024", unit="seconds", results=both),
    ]
    alone = {"transformers": {"not_run": "not run"}, "anymask": result([10.0])}
    memory = [dict(what="ViT-B, float32, 100 megapixels", unit="bytes", results=alone)]
    lines = report.aims([dict(benchmark="encoder", rows=rows), dict(benchmark="memory", rows=memory)]).splitlines()
    assert lines[2:] == ["| encoder: ViT-B, float32, 1 x 1024 x 1024 | 30 s | 10 s | 3.0 | 2.5, reached |"]
    both["anymask"] = result([13.0])
    assert "2.3 | 2.5, missed" in report.aims([dict(benchmark="encoder", rows=rows)])


def test_blobs_have_natural_sizes():
    blobs = importlib.import_module("blobs")
    logits = blobs.blob_logits(49, (96, 96), (64.0, 96.0))
    assert logits.shape == (49, 3, 96, 96)
    areas = (logits > 0).float().mean(dim=(2, 3))
    assert (areas[:, 0] > areas[:, 2]).all()
    assert 0.005 < areas[:, 0].median() < 0.3
    scores = blobs.blob_scores(49)
    assert 0.2 < (scores > 0.88).float().mean() < 0.4


def _options():
    import argparse

    return argparse.Namespace(device="cpu")
