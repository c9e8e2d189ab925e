import json

import pytest
from tests.tiny_sam import tiny_model
from typer.testing import CliRunner

from anymask.cli.main import app
from anymask.modeling.summary import model_info


def invoke(*arguments):
    return CliRunner().invoke(app, ["info", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path):
    tiny_model().save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_table_for_people(folder):
    result = invoke(folder)
    assert result.exit_code == 0
    assert result.stdout == f"{model_info(tiny_model())}\n"


def test_numbers_for_machines(folder):
    document = json.loads(invoke(folder, "--json").stdout)
    assert document["model"] == str(folder)
    assert document["parameters"] == sum(parameter.numel() for parameter in tiny_model().parameters())
    assert document["gflops"] == pytest.approx(sum(part["gflops"] for part in document["parts"]))
    assert [part["name"] for part in document["parts"]] == ["image encoder", "prompt encoder", "mask decoder"]
    assert (document["image_size"], document["dtype"], document["device"]) == (80, "float32", "cpu")


def test_models_that_are_none(tmp_path):
    result = invoke(tmp_path / "none.pth")
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith("anymask: ") and "there is none" in line


def test_a_damaged_folder_is_one_line_for_machines(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    result = CliRunner().invoke(app, ["info", str(tmp_path), "--json"])
    assert result.exit_code == 2
    [line] = result.stdout.splitlines()
    assert "must be a whole safetensors file" in json.loads(line)["error"]
