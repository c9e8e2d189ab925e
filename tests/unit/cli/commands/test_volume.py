import json

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from anymask.cli.commands.volume import read_seed
from anymask.cli.main import app

AFFINE = np.diag([0.7, 0.7, 2.0, 1.0])


@pytest.fixture
def ct(tmp_path):
    voxels = np.full((48, 56, 5), -1000, np.int16)
    voxels[10:38, 14:44] = 60
    nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), tmp_path / "ct.nii.gz")
    return tmp_path / "ct.nii.gz"


def run(*arguments):
    return CliRunner().invoke(app, ["volume", *map(str, arguments)])


def test_an_object_from_a_box(ct, tmp_path):
    done = run(ct, "-o", tmp_path / "o.nii.gz", "--seed", "2:12,8,46,40", "--value-range", "-1000,400", "--json")
    assert done.exit_code == 0, done.output
    labels = nibabel.load(tmp_path / "o.nii.gz")
    np.testing.assert_array_equal(labels.affine, nibabel.load(ct).affine)
    found = np.asarray(labels.dataobj)
    assert json.loads(done.stdout) == {"output": str(tmp_path / "o.nii.gz"), "objects": 1, "voxels": int(found.sum())}
    assert found[24, 28].all()  # the middle of the object in every slice


def test_everything(ct, tmp_path):
    options = ["--points-per-side", 3, "--min-extent", 1, "--window", "abdomen"]
    done = run(ct, "-o", tmp_path / "o.nii", *options)
    assert done.exit_code == 0, done.output
    assert np.asarray(nibabel.load(tmp_path / "o.nii").dataobj).shape == (48, 56, 5)


@pytest.mark.parametrize("how", [["--points-per-side", 3, "--min-extent", 1], ["--seed", "2:12,8,46,40"]])
def test_a_stopped_run_goes_on(ct, tmp_path, how):
    arguments = ["--value-range", "-1000,400", "--resume", *how]
    assert run(ct, "-o", tmp_path / "whole.nii.gz", *arguments).exit_code == 0
    assert not (tmp_path / "whole_slices").exists()
    done = run(ct, "-o", tmp_path / "whole.nii.gz", *arguments)
    assert done.exit_code == 0 and "whole.nii.gz: finished before, skipped" in done.output
    # A folder in the place of the file stops the run when all slices are done.
    (tmp_path / "o.nii.gz").mkdir()
    stopped = run(ct, "-o", tmp_path / "o.nii.gz", *arguments)
    assert stopped.exit_code != 0
    kept = sorted((tmp_path / "o_slices").glob("slice_*.json"))
    assert len(kept) == 5
    made = kept[0].stat().st_mtime_ns
    kept[3].unlink()
    (tmp_path / "o.nii.gz").rmdir()
    assert run(ct, "-o", tmp_path / "o.nii.gz", "--resume", "--model", "other", *how).exit_code == 2
    assert kept[0].stat().st_mtime_ns == made
    assert run(ct, "-o", tmp_path / "o.nii.gz", *arguments).exit_code == 0
    assert (tmp_path / "o.nii.gz").read_bytes() == (tmp_path / "whole.nii.gz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ct.nii.gz", "o.nii.gz", "whole.nii.gz"]


def test_files_of_others_stay(ct, tmp_path):
    before = ct.read_bytes()
    done = run(ct, "-o", ct, "--seed", "2:12,8,46,40")
    assert done.exit_code == 2 and "another file than the volume itself" in " ".join(done.output.split())
    assert ct.read_bytes() == before
    (tmp_path / "organ_slices").mkdir()
    (tmp_path / "organ_slices/1.dcm").write_text("a slice")  # what is done of organ.nii.gz would be kept here
    done = run(ct, "-o", tmp_path / "organ.nii.gz", "--seed", "2:12,8,46,40")
    assert done.exit_code == 2 and "there is something else" in " ".join(done.output.split())
    assert (tmp_path / "organ_slices/1.dcm").read_text() == "a slice" and not (tmp_path / "organ.nii.gz").exists()


def test_seeds():
    assert read_seed("40: 1,2.5,30,40")[0] == 40
    assert read_seed("40:1,2.5,30,40")[1].box_xyxy == [1, 2.5, 30, 40]
    assert read_seed("7:3,4")[1].points_xy == [[3, 4]]
    for text in ("1,2,3,4", "5:1,2,3", "x:1,2"):
        with pytest.raises(ValueError, match="must be Z:X0,Y0,X1,Y1"):
            read_seed(text)


def test_what_cannot_be(ct, tmp_path):
    for arguments, message in (
        (["--seed", "9:1,2,3,4"], "must lie in slices 0 to 4, got 9"),
        (["--window", "bonn", "--seed", "1:2,3"], "did you mean 'bone'"),
        (["--seed", "1:2,3", "--points-per-side", "3"], "must come without --seed"),
    ):
        done = run(ct, "-o", tmp_path / "o.nii.gz", "--json", *arguments)
        assert done.exit_code == 2 and message in json.loads(done.stdout)["error"]
        assert not (tmp_path / "o.nii.gz").exists()
    done = run(ct, "-o", tmp_path / "o.nrrd", "--seed", "1:2,3")
    assert done.exit_code == 2 and "ends in .nii or .nii.gz, got 'o.nrrd'" in done.output
