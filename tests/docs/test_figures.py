"""Measured figures have the command that made them.

What can be checked is the form: a section with a number and a unit (of time, memory, work, agreement, or "times") names
a command as well, and the script, module, target or command of `anymask` is there. Where a section names a commit, its
commands may be of that time; the commit itself is not looked up, since shallow clones have no history. Whether the
command prints that figure, and whether a number without a unit was measured, a reader must tell. Numbers that somebody
set ("below 1 %") are not told apart: they stand in sections with a command, or in words.
"""

import re

import pytest
import typer
from tests.docs.test_pages import FENCED, PAGES, REPOSITORY

from anymask.cli.main import app

FIGURE = re.compile(
    r"(?<![\w.`-])\d[\d ]*(?:\.\d+)? ?(?:ms|s|seconds|minutes|hours|[KMG]i?B|[GT]?FLOP(?:/s)?|%|times)(?![\w`])"
    r"|\d ?(?:秒|分钟)|\d\.\d+ ?倍"
    r"|\b(?:IoU|Dice) of 0\.\d+"
    r"|\b0\.\d\d+ \|"  # in a table
)
COMMIT = re.compile(r"\b(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{7}\b")
PYTHON = re.compile(r"\bpython (?:((?:benchmarks|examples|utils)/\w+\.py)|-m (anymask(?:\.\w+)*)|-[cX] )")
MAKE = re.compile(r"\bmake ([a-z][\w-]*)")
ANYMASK = re.compile(r"^ *(?:time )?anymask ([a-z]+)", re.MULTILINE)
TEST = re.compile(r"\btests/[\w/]+\.py\b")
OTHERS = re.compile(r"\b(?:git (?:show|log|diff)|time|du|ls|gzip) [^ ]")


def sections(text: str) -> list[tuple[str, str]]:
    """Prose and code of each part of a page between headings; code within a line is in both."""
    blocks = iter(FENCED.findall(text))
    found = []
    for part in re.split(r"^(?=#+ )", FENCED.sub("\0", text), flags=re.MULTILINE):
        code = [next(blocks) for _ in range(part.count("\0"))]
        in_lines = [" ".join(words.split()) for words in re.findall(r"`([^`]+)`", part)]
        found.append((part, "\n".join(code + in_lines)))
    return found


def commands(code: str) -> list[str]:
    return [match[0] for pattern in (PYTHON, MAKE, ANYMASK, TEST, OTHERS) for match in pattern.finditer(code)]


def absent(code: str) -> list[str]:
    """Scripts, modules, targets, commands and tests that are named and are not there."""
    targets = re.findall(r"^([a-z][\w-]*):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    files = [script for script, _ in PYTHON.findall(code) if script] + TEST.findall(code)
    modules = [f"src/{module.replace('.', '/')}" for _, module in PYTHON.findall(code) if module]
    return [
        *(file for file in files if not (REPOSITORY / file).exists()),
        *(module for module in modules if not any((REPOSITORY / f"{module}{end}").exists() for end in ("", ".py"))),
        *(target for target in MAKE.findall(code) if target not in targets),
        *(command for command in ANYMASK.findall(code) if command not in typer.main.get_command(app).commands),
    ]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_sections_with_figures_have_commands_that_are_there(page):
    for prose, code in sections((REPOSITORY / page).read_text(encoding="utf-8")):
        if FIGURE.search(prose):
            heading = prose.partition("\n")[0]
            assert commands(code), f"{page}, {heading!r} has {FIGURE.search(prose)[0]!r} and no command"
            assert COMMIT.search(prose) or absent(code) == [], f"{page}, {heading!r}"


def test_figures_and_commands_are_told():
    code = "```bash\n# a remark\nmake nothing\n```"
    text = f"Page\n# One\n2.5 ms: `python utils/gone.py`, `python -m anymask.train`\n{code}\n## Two\n1 000 times\n"
    (title, _), (one, code), (two, nothing) = sections(text)
    assert [bool(FIGURE.search(prose)) for prose in (title, one, two)] == [False, True, True]
    assert commands(code) == ["python utils/gone.py", "python -m anymask.train", "make nothing"]
    assert absent(code) == ["utils/gone.py", "src/anymask/train", "nothing"]
    assert commands(nothing) == []
    assert not FIGURE.search("8 prompts, version 1.2, a side of 1024, `0.5 s`, 2026-11-29")
    assert FIGURE.search("| 0.864 |") and FIGURE.search("an IoU of 0.9") and FIGURE.search("快 2.3 倍")
    assert COMMIT.search("at commit 929c9f4") and not COMMIT.search("defaced 1234567.0")
