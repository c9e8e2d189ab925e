"""Every block of code in the README, docs/ and the other guides runs as printed, and each notebook.

The Python blocks of a file run in one process, top to bottom, and so do its bash blocks in one shell; each in an empty
folder with a copy of examples/, two of its photos in `photos/`, and one as `photo.jpg`. offline.py says what stands for
the network, and STAND_INS below what stands for commands that install, serve or would run these tests again.

A line `<!-- slow: REASON -->` above a block leaves it to `make test-slow`, which runs all blocks of its file. A block
that cannot run here has a line `<!-- not run: REASON -->`. Blocks of data are read: test_contracts.py compares them
with what the code says.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import xml.etree.ElementTree
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from anymask.weights.names import WEIGHTS_FOLDER

REPOSITORY = Path(__file__).parents[2]
OFFLINE = Path(__file__).with_name("offline.py")
CHECK_EXTRAS = Path(__file__).with_name("check_extras.py")
SERVE_ONCE = Path(__file__).with_name("serve_once.py")
ALL_GUIDES = sorted(
    path.relative_to(REPOSITORY)
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "benchmarks/*.md", "src/anymask/weights/*/*.md")
    for path in REPOSITORY.glob(pattern)
)
# The code of Chinese pages is that of the English ones: test_pages.py.
GUIDES = [path for path in ALL_GUIDES if "zh" not in path.parts and not path.stem.endswith("_zh")]
NOTEBOOKS = sorted(path.relative_to(REPOSITORY) for path in REPOSITORY.glob("examples/notebooks/*.ipynb"))
BLOCK = re.compile(
    r"(?P<before>[^\n]*)\n(?P<indent> *)```(?P<language>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
SLOW = re.compile(r"<!-- slow: \S.* -->")
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>\S.*) -->")
# What no test here can have. Anything else that a block needs is to be brought.
IMPOSSIBLE = (
    "needs a CVAT server",
    "needs a CUDA device",
    "needs COCO and a detector",
    "needs the hub and an account",
    "needs gradio",
    "needs a window",
    "takes hours",
    "takes minutes, and nothing else running",
    "installs packages",
)
CODE = {"python", "bash"}
TEXT = {"text", "bibtex"}  # what a command prints, and a citation
DATA = {"json": json.loads, "xml": xml.etree.ElementTree.fromstring}

STAND_INS = r"""
set -euo pipefail
# A target is looked up, not made: `make test` is what runs this.
make() { command make --directory "$REPOSITORY" --dry-run "$@" > /dev/null; }
# A clone is an empty folder with the examples in it.
git() { [ "$1" = clone ] && mkdir anymask && cp -r examples anymask/examples; }
# Packages are not installed, but extras must exist.
pip() { "$PYTHON" "$CHECK_EXTRAS" "$@"; }
# An environment is the one that runs this.
source() { [ "$1" = env/bin/activate ]; }
python3() { [ "$*" = "-m venv env" ]; }
# A folder is served if it has a page.
python() { if [ "${2:-}" = http.server ]; then test -f "${!#}/index.html"; else "$PYTHON" "$@"; fi }
# What serves until it is told to end is asked once, and told.
anymask() {
  case " $* " in
    *" --static "*) command anymask_ "$@" ;;
    " demo "* | " serve "*) "$PYTHON" "$SERVE_ONCE" "$@" ;;
    *) command anymask_ "$@" ;;
  esac
}
"""


class Block(NamedTuple):
    language: str
    first_line: int
    code: str
    is_slow: bool = False
    not_run: str | None = None


def blocks(guide: Path) -> list[Block]:
    """All blocks of a file."""
    text = "\n" + (REPOSITORY / guide).read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        before = match["before"].strip()
        not_run = NOT_RUN.fullmatch(before)
        found.append(
            Block(
                match["language"],
                text.count("\n", 0, match.start("code")),
                textwrap.dedent(match["code"]),
                SLOW.fullmatch(before) is not None,
                not_run["reason"] if not_run else None,
            )
        )
    return found


def to_run(guide: Path, language: str, with_slow: bool) -> list[Block]:
    return [
        block
        for block in blocks(guide)
        if block.language == language and block.not_run is None and (with_slow or not block.is_slow)
    ]


def runs(language: str) -> list:
    """The files with such blocks; those with slow ones twice, once without and once with them."""
    quick = [pytest.param(guide, False, id=str(guide)) for guide in GUIDES if to_run(guide, language, False)]
    slow = [
        pytest.param(guide, True, id=f"{guide}, all of it", marks=pytest.mark.slow)
        for guide in GUIDES
        if any(block.is_slow for block in to_run(guide, language, True))
    ]
    return quick + slow


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


@pytest.fixture(scope="session")
def environment(hub_cache) -> dict[str, str]:
    """The variables of a reader's processes."""
    return {
        **os.environ,
        "HF_HUB_CACHE": str(hub_cache),
        "MPLBACKEND": "agg",
        "REPOSITORY": str(REPOSITORY),
        "PYTHON": sys.executable,
        "CHECK_EXTRAS": str(CHECK_EXTRAS),
        "SERVE_ONCE": str(SERVE_ONCE),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]),
    }


@contextmanager
def running_files(how: str, environment: dict[str, str]):
    """The process that runs Python files, one asked for after the other."""
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with subprocess.Popen([sys.executable, OFFLINE, how], env=environment, text=True, **pipes) as process:
        yield process
        process.stdin.close()


def run_file_of(process, **request) -> str:
    """What such a process answers: the exit code, with the end of the line."""
    print(json.dumps(request, default=str), file=process.stdin, flush=True)
    return process.stdout.readline()


@pytest.fixture(scope="session")
def offline(environment):
    with running_files("fork" if hasattr(os, "fork") else "start", environment) as process:
        yield process


@pytest.fixture
def folder(tmp_path) -> Path:
    """The folder that a reader is supposed to be in, with the program in `.bin`."""
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    (tmp_path / "photos").mkdir()
    for name in ("coffee.jpg", "tulip.jpg"):
        shutil.copy(REPOSITORY / "examples" / name, tmp_path / "photos")
    shutil.copy(REPOSITORY / "examples" / "coffee.jpg", tmp_path / "photo.jpg")
    command = tmp_path / ".bin" / "anymask_"
    command.parent.mkdir()
    command.write_text(
        f"#!{sys.executable}\nfrom anymask.cli.main import app\n\napp(prog_name='anymask')\n", encoding="utf-8"
    )
    command.chmod(0o755)
    return tmp_path


def path_of(folder: Path) -> str:
    return os.pathsep.join([str(folder / ".bin"), os.environ["PATH"]])


@pytest.fixture
def run_file(folder, offline, tmp_path_factory):
    """Runs a Python file in the reader's folder."""
    printed = tmp_path_factory.mktemp("printed") / "output.txt"

    def run(file: Path) -> None:
        request = dict(file=file, folder=folder, printed=printed, path=path_of(folder), seconds=1800)
        exit_code = run_file_of(offline, **request)
        assert exit_code == "0\n", f"{exit_code}{printed.read_text(errors='replace')[-9000:]}"

    return run


def test_files_run_where_none_can_be_forked(environment, tmp_path):
    asked = [
        (
            "import os, sys; print(os.getcwd(), os.environ['PATH'], sys.argv[1:]); sys.exit(3)",
            "3\n",
            f"{tmp_path} where []",
        ),
        ("from urllib.request import urlopen; urlopen('https://example.com/a')", "1\n", "example.com/a must be listed"),
    ]
    request = dict(file=tmp_path / "asked.py", folder=tmp_path, printed=tmp_path / "printed", path="where", seconds=600)
    with running_files("start", environment) as process:
        for code, exit_code, printed in asked:
            (tmp_path / "asked.py").write_text(code)
            assert run_file_of(process, **request) == exit_code
            assert printed in (tmp_path / "printed").read_text()


@pytest.mark.parametrize(("guide", "with_slow"), runs("python"))
def test_python(guide, with_slow, run_file, tmp_path):
    lines: list[str] = []
    for block in to_run(guide, "python", with_slow):
        lines += [""] * (block.first_line - 1 - len(lines)) + block.code.splitlines()
    script = tmp_path / (guide.name + ".py")  # its lines are those of the guide, so tracebacks point there
    script.write_text("\n".join(lines) + "\n")
    run_file(script)


def bring_files(folder: Path) -> None:
    """What the README's commands are called with: a volume, and weights in Meta's layout."""
    import nibabel
    import numpy as np
    import torch

    from anymask import SamModel
    from anymask.checkpoints import save_meta_checkpoint

    y, x = np.mgrid[:256, :256]
    object_hu = np.where((x - 140) ** 2 + (y - 130) ** 2 < 60**2, 60, -1000).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(np.repeat(object_hu.T[..., None], 42, axis=2), np.eye(4)), folder / "ct.nii.gz")
    model = SamModel.from_pretrained("sam-vit-nano", dtype=torch.float32)
    save_meta_checkpoint(model, folder / "sam_vit_b_01ec64.pth")


@pytest.mark.parametrize(("guide", "with_slow"), runs("bash"))
def test_bash(guide, with_slow, folder, environment):
    if with_slow:
        bring_files(folder)
    code = "\n".join(block.code for block in to_run(guide, "bash", with_slow))
    finished = subprocess.run(
        ["bash", "-c", STAND_INS + code],
        cwd=folder,
        env={**environment, "PATH": path_of(folder)},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert finished.returncode == 0, f"{finished.stdout[-3000:]}\n{finished.stderr[-6000:]}"


@pytest.mark.parametrize("guide", ALL_GUIDES, ids=str)
def test_every_block_runs_or_says_why_not(guide):
    found = blocks(guide)
    fences = re.findall(r"^ *```", (REPOSITORY / guide).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(found), f"{guide} has a block that is not found"
    for block in found:
        assert block.language in CODE | TEXT | set(DATA), f"{guide}:{block.first_line} is in {block.language!r}"
        if block.language in DATA:
            DATA[block.language](block.code)
        if block.not_run is not None:
            assert block.not_run.startswith(IMPOSSIBLE), f"{guide}:{block.first_line} is not run: {block.not_run}"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=str)
def test_notebook(notebook, run_file, tmp_path):
    """The code cells of a notebook run top to bottom, in one process."""
    cells = json.loads((REPOSITORY / notebook).read_text(encoding="utf-8"))["cells"]
    script = tmp_path / (notebook.name + ".py")
    script.write_text("\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    run_file(script)


def test_notebooks_are_committed_without_what_they_print():
    for notebook in NOTEBOOKS:
        cells = json.loads((REPOSITORY / notebook).read_text(encoding="utf-8"))["cells"]
        assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == [], notebook


def test_blocks_are_found_with_their_lines(tmp_path):
    guide = tmp_path / "guide.md"
    guide.write_text(
        "# Title\n\n```python\na = 1\n```\n\n<!-- not run: needs a GPU -->\n```python\nb\n```\n```bash\nls\n```\n"
        "1. one\n\n   <!-- slow: minutes -->\n   ```bash\n   if true\n     then\n   ```\n"
    )
    assert blocks(guide) == [
        Block("python", 4, "a = 1\n"),
        Block("python", 9, "b\n", not_run="needs a GPU"),
        Block("bash", 12, "ls\n"),
        Block("bash", 18, "if true\n  then\n", is_slow=True),
    ]
    assert to_run(guide, "bash", with_slow=False) == [Block("bash", 12, "ls\n")]
