"""The scripts of examples/ about scale run as their first lines say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def run(script, *arguments):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-W", "error::UserWarning", str(REPOSITORY / "examples" / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_large_image(tmp_path):
    assert int(run("large_image.py", tmp_path / "out").split()[0]) > 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("scene.npy", "work", "objects.geojson", "labels.tif", "objects.csv")
    }


def test_volume(tmp_path):
    lines = run("volume.py", tmp_path / "out").splitlines()
    assert [line.split(":")[0] for line in lines] == ["organ", "bone"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bone.nii.gz", "organ.nii.gz"]


def test_many_images(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("coffee.jpg", "tulip.jpg"):
        shutil.copy(REPOSITORY / "examples" / name, tmp_path / "photos")
    printed = run("many_images.py", tmp_path / "photos", tmp_path / "out")
    assert "'images': 2" in printed and "'errors': 0" in printed
    assert (tmp_path / "out" / "manifest.json").is_file()
