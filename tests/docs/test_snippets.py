"""Every ```python and ```bash block of the README, of docs/ and of the other guides runs as printed, and each notebook.

The Python blocks of a file run in one process, top to bottom, and so do its bash blocks in one shell; each in an empty
folder with a copy of examples/, as `photo.jpg` and `photos/` too. offline.py says what stands for the network, and
STAND_INS below what stands for commands that install or would run these tests again. A block that cannot run here has a
line `<!-- not run: REASON -->` above it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from anymask.weights.names import WEIGHTS_FOLDER

REPOSITORY = Path(__file__).parents[2]
OFFLINE = Path(__file__).with_name("offline.py")
CHECK_EXTRAS = Path(__file__).with_name("check_extras.py")
GUIDES = sorted(
    path.relative_to(REPOSITORY)
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "benchmarks/*.md", "src/anymask/weights/*/*.md")
    for path in REPOSITORY.glob(pattern)
    if "zh" not in path.parts
    and not path.stem.endswith("_zh")  # their code is that of the English pages: test_pages.py
)
NOTEBOOKS = sorted(path.relative_to(REPOSITORY) for path in REPOSITORY.glob("examples/notebooks/*.ipynb"))
BLOCK = re.compile(r"(?P<before>[^\n]*)\n```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: \S.* -->")

STAND_INS = r"""
set -euo pipefail
# A target is looked up, not made: `make test` is what runs this.
make() { command make --directory "$REPOSITORY" --dry-run "$@" > /dev/null; }
# A clone is an empty folder with the examples in it.
git() { [ "$1" = clone ] && mkdir anymask && cp -r examples anymask/examples; }
# Packages are not installed, but extras must exist.
pip() { "$PYTHON" "$CHECK_EXTRAS" "$@"; }
python() { "$PYTHON" "$@"; }
anymask() { "$PYTHON" -c 'from anymask.cli.main import app; app(prog_name="anymask")' "$@"; }
"""


class Block(NamedTuple):
    language: str
    first_line: int
    code: str


def blocks(guide: Path) -> list[Block]:
    text = "\n" + (REPOSITORY / guide).read_text(encoding="utf-8")
    return [
        Block(match["language"], text.count("\n", 0, match.start("code")), match["code"])
        for match in BLOCK.finditer(text)
        if not NOT_RUN.fullmatch(match["before"].strip())
    ]


def with_language(language: str) -> list[Path]:
    return [guide for guide in GUIDES if any(block.language == language for block in blocks(guide))]


@pytest.fixture(scope="session")
def hub_cache(tmp_path_factory) -> Path:
    """A hub cache in which the ids that the documentation names are all sam-vit-nano."""
    sys.path.insert(0, str(OFFLINE.parent))
    try:
        from offline import HUB_IDS
    finally:
        sys.path.remove(str(OFFLINE.parent))
    cache = tmp_path_factory.mktemp("hub")
    commit = "0" * 40
    for hub_id in HUB_IDS:
        folder = cache / ("models--" + hub_id.replace("/", "--"))
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(commit)
        shutil.copytree(WEIGHTS_FOLDER / "sam-vit-nano", folder / "snapshots" / commit)
    return cache


@pytest.fixture
def reader(tmp_path, hub_cache):
    """Runs a command in the folder that a reader is supposed to be in."""
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    shutil.copytree(REPOSITORY / "examples", tmp_path / "photos", ignore=shutil.ignore_patterns("*.md"))
    shutil.copy(REPOSITORY / "examples" / "coffee.jpg", tmp_path / "photo.jpg")
    environment = {
        **os.environ,
        "HF_HUB_CACHE": str(hub_cache),
        "MPLBACKEND": "agg",
        "REPOSITORY": str(REPOSITORY),
        "PYTHON": sys.executable,
        "CHECK_EXTRAS": str(CHECK_EXTRAS),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]),
    }

    def run(*command: str) -> None:
        finished = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert finished.returncode == 0, f"{finished.stdout[-3000:]}\n{finished.stderr[-6000:]}"

    return run


@pytest.mark.parametrize("guide", with_language("python"), ids=str)
def test_python(guide, reader, tmp_path):
    lines: list[str] = []
    for block in blocks(guide):
        if block.language == "python":
            lines += [""] * (block.first_line - 1 - len(lines)) + block.code.splitlines()
    script = tmp_path / (guide.name + ".py")  # its lines are those of the guide, so tracebacks point there
    script.write_text("\n".join(lines) + "\n")
    reader(sys.executable, str(OFFLINE), str(script))


@pytest.mark.parametrize("guide", with_language("bash"), ids=str)
def test_bash(guide, reader):
    code = "\n".join(block.code for block in blocks(guide) if block.language == "bash")
    reader("bash", "-c", STAND_INS + code)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=str)
def test_notebook(notebook, reader, tmp_path):
    """The code cells of a notebook run top to bottom, in one process."""
    cells = json.loads((REPOSITORY / notebook).read_text(encoding="utf-8"))["cells"]
    script = tmp_path / (notebook.name + ".py")
    script.write_text("\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    reader(sys.executable, str(OFFLINE), str(script))


def test_notebooks_are_committed_without_what_they_print():
    for notebook in NOTEBOOKS:
        cells = json.loads((REPOSITORY / notebook).read_text(encoding="utf-8"))["cells"]
        assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == [], notebook


def test_blocks_are_found_with_their_lines(tmp_path):
    guide = tmp_path / "guide.md"
    guide.write_text(
        "# Title\n\n```python\na = 1\n```\n\n<!-- not run: needs a GPU -->\n```python\nb\n```\n```bash\nls\n```\n"
    )
    assert blocks(guide) == [Block("python", 4, "a = 1\n"), Block("bash", 12, "ls\n")]
