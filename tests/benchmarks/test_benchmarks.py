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
MODULES = ("harness", "machine", "subjects", "their_steps", "alone", "exports", "blobs", "chart", "report", "run")


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


@pytest.mark.parametrize(
    "script",
    # The exporter takes some ten seconds for each file.
    [pytest.param(script, marks=pytest.mark.slow if script == "bench_exported" else ()) for script in SCRIPTS],
)
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
        assert list(row["results"])[:2] == ["transformers", "anymask"]
        for result in row["results"].values():
            assert 0 < result["lowest"] <= result["median"] <= result["highest"]
            assert len(result["runs"]) == 1
        if row["unit"] == "seconds":
            assert row["results"]["anymask"]["agreement"]
    assert report["question"] in capsys.readouterr().out
    # The page has a place for the table.
    report_module = importlib.import_module("report")
    page = report_module.filled((BENCHMARKS.parent / "docs/lab-book.md").read_text(), [report])
    assert report["rows"][0]["what"] in page
    # And its rows have a bar, or points of lines, in a chart, but for files, which are more than a pair.
    chart = importlib.import_module("chart")
    if script == "bench_scaling":
        chart.draw_scaling([report], tmp_path / "chart.png")
    else:
        assert len(chart.ratios([report])) == (0 if script == "bench_exported" else len(report["rows"]))
        chart.draw([report], tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("script", "arguments", "printed"),
    [
        pytest.param("decoder_counts", ["--size", "nano"], "gflop_to_prepare", marks=pytest.mark.slow),
        ("matrix_products", ["--repeats", "1"], "GFLOP/s"),
        ("first_line", ["--starts", "1"], "anymask.__main__ lowest"),
    ],
)
def test_scripts_with_reports_of_their_own(script, arguments, printed, monkeypatch, capsys):
    run(monkeypatch, script, *arguments)
    assert printed in capsys.readouterr().out


def test_one_command_runs_every_script(monkeypatch, tmp_path):
    runs = importlib.import_module("run")
    assert {command[0].removesuffix(".py") for command in runs.runs_on("cpu").values()} == set(SCRIPTS)
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
    # Peers are measured apart.
    commands.clear()
    monkeypatch.setattr(runs, "load_peers", lambda names: dict.fromkeys(names))
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "click_peers", "--results", str(tmp_path)])
    with pytest.raises(SystemExit, match="as they were: click_peers"):
        runs.main()
    assert commands[0][2:] == ["--peer", "installed", "--json", str(tmp_path / "click_peers.json")]
    assert runs.runs_on("cuda", ["meta"])["cuda_everything_peers"][-4:] == ["--device", "cuda", "--peer", "meta"]
    # A trial run writes nothing.
    commands.clear()
    monkeypatch.setattr(sys, "argv", ["run.py", "--device", "cuda", "--only", "cuda_encoder", "--smoke"])
    runs.main()
    [command] = commands
    assert command[command.index("--device") + 1] == "cuda"
    assert "vit_h" in command
    assert command[-1] == "--smoke"
    assert "--json" not in command
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "cuda_encoder"])
    with pytest.raises(SystemExit):
        runs.main()


@pytest.mark.parametrize(
    ("cpuinfo", "emulated"),
    [
        ("model name\t: one\nflags\t\t: fpu avx2 avx512f\n", True),
        ("model name\t: one\nflags\t\t: fpu avx2 avx512_bf16\n", False),
        ("Features\t: fp asimd\n", True),
        ("Features\t: fp asimd bf16\n", False),
        ("", False),
    ],
)
def test_emulated_bfloat16_says_so(cpuinfo, emulated, monkeypatch, tmp_path):
    machine, harness, chart = (importlib.import_module(name) for name in ("machine", "harness", "chart"))
    file = tmp_path / "cpuinfo"
    file.write_text(cpuinfo)
    monkeypatch.setattr(machine, "CPUINFO", file)
    assert machine.emulates_bfloat16("cpu") is emulated
    benchmark = harness.Benchmark("encoder", "?", _options())
    for dtype in ("float32", "bfloat16"):
        benchmark.add_row(f"ViT-B, {dtype}", "seconds", both(6.0, 2.0), dtype=dtype)
    report = dict(benchmark="encoder", rows=benchmark.rows, environment=machine.environment_of(_options()))
    assert [row["what"] for row in benchmark.rows] == [
        "ViT-B, float32",
        "ViT-B, bfloat16 (emulated)" if emulated else "ViT-B, bfloat16",
    ]
    # It has neither a bar nor an aim, and little work.
    assert len(chart.ratios([report])) == 2 - emulated
    assert len(importlib.import_module("report").aims([report]).splitlines()) == 2 + 2 - emulated
    runs = importlib.import_module("run").runs_on("cpu")
    assert ("vit_b" in runs["decoder_bfloat16"]) is emulated
    assert ("click_bfloat16" in runs) is not emulated


def test_one_thing_grows_at_a_time(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["bench_scaling.py"])
    workloads = importlib.import_module("bench_scaling").workloads
    assert workloads([1, 2, 3], [4, 5], [6, 7]) == [(1, 4, 6), (2, 4, 6), (3, 4, 6), (1, 5, 6), (1, 4, 7)]
    names = ("megapixels", "points_per_side", "points_per_batch")
    lists = ([2.0, 1.0], [4, 5], [6])
    rows = [
        dict(zip(names, workload, strict=True), size="nano", dtype="float32", unit="bytes")
        | dict(results=both(sum(workload) * 2.0**31, 2.0**30))
        for workload in workloads(*lists)
    ]
    rows[0]["results"]["transformers"] = {"not_run": "not run: 7 GiB of masks"}
    report = dict(rows=rows, options=dict(zip(names, lists, strict=True), size=["nano"], dtype=["float32"]))
    series = importlib.import_module("chart").series
    assert series(report, "nano", "megapixels", "bytes", "anymask") == [(1.0, 1.0), (2.0, 1.0)]
    assert series(report, "nano", "megapixels", "bytes", "transformers") == [(1.0, 22.0)]
    assert series(report, "nano", "points_per_side", "bytes", "transformers") == [(5, 26.0)]
    assert series(report, "nano", "megapixels", "seconds", "anymask") == []


def test_the_page_is_whole_without_results():
    report = importlib.import_module("report")
    page = (BENCHMARKS.parent / "docs/lab-book.md").read_text()
    empty = report.filled(page, [])
    assert empty.count("Not measured yet.") == len(SCRIPTS)
    assert "scaling.png" not in empty


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


def test_peers_are_named_or_files(tmp_path):
    load_peers = importlib.import_module("harness").load_peers
    with pytest.raises(FileNotFoundError, match=r"--peer must be one of .*, or a Python file, got 'mine\.py'"):
        load_peers(["mine.py"])
    (tmp_path / "mine.py").write_text("PACKAGES = ('numpy', 'not-a-package')\n")
    with pytest.raises(ModuleNotFoundError, match="needs the packages not-a-package;"):
        load_peers([str(tmp_path / "mine.py")])


def test_peers_of_this_folder(monkeypatch):
    harness = importlib.import_module("harness")
    monkeypatch.setattr(harness, "version_of", lambda package: None if package == "openvino" else "1")
    with pytest.raises(ModuleNotFoundError, match="--peer open_vino needs the packages openvino; install them"):
        harness.load_peers(["open_vino"])
    peers = harness.load_peers(["installed"])
    assert list(peers) == ["meta", "onnx_runtime"]
    for peer in peers.values():
        assert peer.column("preprocessing", None, 256) is None
        assert peer.column("decoder", SimpleNamespace(device=torch.device("cpu"), dtype=torch.bfloat16)) is None


@pytest.mark.parametrize("script", ["bench_encoder", "bench_click"])
def test_an_exported_network_computes_the_same(script, monkeypatch, tmp_path):
    peer, file = tmp_path / "engine.py", tmp_path / "result.json"
    peer.write_text(
        "import torch\n"
        "from exports import exported_column\n"
        "PACKAGES = ['pytest']\n"
        "def compiled(network, example):\n"
        "    assert all(tensor.is_contiguous() and tensor.dtype == torch.float32 for tensor in example)\n"
        "    return network\n"
        "def column(stage, *inputs):\n"
        "    return exported_column(stage, compiled, *inputs)\n"
    )
    run(monkeypatch, script, "--smoke", "--dtype", "bfloat16", "--peer", peer, "--json", file)
    report = json.loads(file.read_text())
    for row in report["rows"]:
        assert list(row["results"]) == ["transformers", "anymask", "engine"]
    assert "pytest" in report["environment"]["versions"]


def test_nearness_of_masks(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench_precision.py"])
    near_masks = importlib.import_module("bench_precision").near_masks
    expected = torch.zeros(2, 3, 4, 5, dtype=torch.bool)
    result = expected.clone()
    expected[1, 2, :2], result[1, 2, :3] = True, True  # 10 of 15; all others are empty
    agreed = near_masks(0.9)(expected, result)
    assert agreed == pytest.approx({"mean IoU": (5 + 2 / 3) / 6, "lowest": 2 / 3})
    with pytest.raises(importlib.import_module("harness").DisagreementError, match=r"at least 0\.95, got 0\.9444"):
        near_masks(0.95)(expected, result)


def test_int8_is_of_the_encoder(monkeypatch, tmp_path):
    file = tmp_path / "result.json"
    run(monkeypatch, "bench_encoder", "--smoke", "--dtype", "int8", "--json", file)
    [row] = json.loads(file.read_text())["rows"]
    # Not exact, and near enough.
    assert 1e-4 < row["results"]["anymask"]["agreement"]["relative error"] < 5e-2
    with pytest.raises(SystemExit):
        run(monkeypatch, "bench_decoder", "--smoke", "--dtype", "int8")


def both(theirs, ours):
    return {"transformers": result([theirs]), "anymask": result([ours])}


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
    environment = _environment()
    once = report.filled(page, [dict(benchmark="two", rows=[row], environment=environment)])
    assert "old" not in once
    assert "Not measured yet." in once.split("between")[0]
    assert "| row | 1 s" in once.split("between")[1]
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    with pytest.raises(ValueError, match="marks for every benchmark"):
        report.check_marks([page], [dict(benchmark="three", rows=[row], environment=environment)])


def test_summary_has_a_table_for_each_machine():
    report = importlib.import_module("report")
    both = {"transformers": result([30.0, 40.0, 50.0]), "anymask": result([10.0])}
    rows = [
        dict(what="ViT-B, float32, 32 x 32 points", unit="seconds", results=both),
        dict(what="ViT-B, bfloat16, 32 x 32 points", unit="seconds", results=both, emulated=True),
    ]
    beside_others = [dict(what="ViT-B, float32, 1 x", unit="seconds", results={**both, "meta": result([1.0])})]
    reports = [
        dict(benchmark="everything", rows=rows, environment=_environment()),
        dict(benchmark="everything", rows=rows, environment=_environment()),  # measured twice: the first counts
        dict(benchmark="encoder", rows=beside_others, environment=_environment()),
        dict(benchmark="everything", rows=rows[:1], environment={**_environment(), "accelerator": "one"}),
    ]
    lines = report.summary(reports, "summary").splitlines()
    row = "| segment everything: ViT-B, float32, 32 x 32 points | 40 s | 10 s | 4.0 |"
    assert [line for line in lines if line.startswith("| s")] == [row, row]
    assert [line for line in lines if "cores" in line][1].startswith("one, ")
    assert report.summary([], "summary") == report.NOT_MEASURED


def test_pages_have_the_committed_results():
    report = importlib.import_module("report")
    committed = [json.loads(file.read_text()) for file in sorted((BENCHMARKS / "results").glob("*.json"))]
    pages = [path.read_text() for path in report.PAGES]
    report.check_marks(pages, committed)
    assert [report.filled(page, committed) for page in pages] == pages


def test_aims_are_held_against_results():
    report = importlib.import_module("report")
    both = {"transformers": result([30.0]), "anymask": result([10.0])}
    rows = [
        dict(what="ViT-B, float32, 1 x 1024 x 1024", unit="seconds", results=both),
        dict(what="ViT-B, bfloat16, 1 x 1024 x 1024", unit="seconds", results=both),
    ]
    alone = {"transformers": {"not_run": "not run"}, "anymask": result([10.0])}
    memory = [dict(what="ViT-B, float32, 100 megapixels", unit="bytes", results=alone)]
    encoder = dict(benchmark="encoder", rows=rows, environment=_environment())
    lines = report.aims([encoder, dict(benchmark="memory", rows=memory, environment=_environment())]).splitlines()
    assert lines[2:] == [
        "| encoder: ViT-B, float32, 1 x 1024 x 1024 | transformers 30 s | 10 s | 3.0 | 2.5, reached |",
        "| encoder: ViT-B, bfloat16, 1 x 1024 x 1024 | transformers 30 s | 10 s | 3.0 | 3, reached |",
    ]
    both["anymask"], both["open_vino"] = result([13.0]), result([12.0])
    missed = report.aims([encoder])
    assert "2.3 | 2.5, missed" in missed
    assert "| open_vino 12 s | 13 s | 0.9 | 1, missed |" in missed
    assert report.aims([{**encoder, "environment": {"accelerator": "one"}}]).splitlines() == lines[:2]


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

    return argparse.Namespace(device="cpu", threads=None, peer=[])


def _environment():
    return importlib.import_module("machine").environment_of(_options())
