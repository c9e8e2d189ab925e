"""Pages lead somewhere, and say of the code what it is: links, anchors, the reference, tables of fields."""

import importlib
import inspect
import os
import re
import textwrap
from pathlib import Path

import pytest

import anymask

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(REPOSITORY)
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "benchmarks/*.md", "src/anymask/weights/*/*.md")
    for path in REPOSITORY.glob(pattern)
)
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")


def prose(page: Path) -> str:
    return FENCED.sub("", (REPOSITORY / page).read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Of the headings, as the hosting page and the site make them."""
    return {_anchor(heading) for heading in re.findall(r"^#+ +(.+)$", prose(page), re.MULTILINE)}


def _anchor(heading: str) -> str:
    words = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page):
    for match in LINK.finditer(prose(page)):
        if "://" in match["path"]:
            continue
        target = Path(page.parent, match["path"]) if match["path"] else page
        assert (REPOSITORY / target).exists(), f"{page} links to {match['path']}"
        if match["anchor"] and target.suffix == ".md":
            assert match["anchor"] in anchors(target), f"{page} links to {match['path']}#{match['anchor']}"


def test_anchors_are_those_of_the_hosting_page():
    assert _anchor("What was aimed at?") == "what-was-aimed-at"
    assert _anchor("`SamModel` and [links](a.md)") == "sammodel-and-links"
    assert _anchor("一句话 SAM") == "一句话-sam"


@pytest.mark.parametrize("name", anymask.__all__)
def test_every_public_name_has_a_reference(name):
    index = (REPOSITORY / "docs/reference/index.md").read_text(encoding="utf-8")
    [page] = re.findall(rf"\[`{name}`\]\(([\w-]+\.md)#{name.lower()}\)", index)
    reference = (REPOSITORY / "docs/reference" / page).read_text(encoding="utf-8")
    assert re.search(rf"^## {name}\n\n::: anymask\.[\w.]+\.{name}$", reference, re.MULTILINE)


ROOM_IMPORT = re.compile(r"^from (anymask\.[\w.]+) import (?:\(([^)]*)\)|(.+?))(?: *#.*)?$", re.MULTILINE)


def names_of_rooms() -> set[tuple[str, str]]:
    """(home, name) of what code in the pages imports from a room, where the name is defined."""
    found = set()
    for page in PAGES:
        for block in FENCED.findall((REPOSITORY / page).read_text(encoding="utf-8")):
            for module, in_brackets, in_line in ROOM_IMPORT.findall(textwrap.dedent(block)):
                for name in set(re.findall(r"\w+", in_brackets or in_line)) - set(anymask.__all__):
                    found.add((getattr(importlib.import_module(module), name).__module__, name))
    return found


@pytest.mark.parametrize(("home", "name"), sorted(names_of_rooms()))
def test_every_name_that_pages_import_has_a_reference(home, name):
    pages = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "docs/reference").glob("*.md")]
    assert any(re.search(rf"^## {name}\n\n::: {re.escape(home)}\.{name}$", page, re.MULTILINE) for page in pages)


def reference_of_rooms() -> list[tuple[str, str]]:
    """(page, full name) of the names that are not in `anymask` itself."""
    found = []
    for page in sorted((REPOSITORY / "docs/reference").glob("*.md")):
        for full_name in re.findall(r"^::: (anymask\.[\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            if full_name.rpartition(".")[2] not in anymask.__all__:
                found.append((page.name, full_name))
    return found


@pytest.mark.parametrize(("page", "full_name"), reference_of_rooms())
def test_every_name_of_a_room_has_an_example_and_is_listed(page, full_name):
    """In its docstring, or at the head of its page, where names of a room are used together."""
    home, _, name = full_name.rpartition(".")
    head = (REPOSITORY / "docs/reference" / page).read_text(encoding="utf-8").split("\n## ")[0]
    examples = re.findall(r"^ *>>> .*$", inspect.getdoc(getattr(importlib.import_module(home), name)), re.MULTILINE)
    code = ROOM_IMPORT.sub("", "\n".join(FENCED.findall(head) + examples))
    assert re.search(rf"\b{name}\b", code)
    assert f"]({page})" in section("docs/reference/index.md", "Rooms")


def section(page: str, heading: str) -> str:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


MODEL_PAGES = ["docs/model_doc/sam.md", "docs/zh/model_doc/sam.md"]


@pytest.mark.parametrize("page", MODEL_PAGES)
@pytest.mark.parametrize("name", ["SamConfig", "SamVisionConfig", "SamPromptEncoderConfig", "SamMaskDecoderConfig"])
def test_model_page_has_every_field_with_its_default(name, page):
    parameters = inspect.signature(getattr(anymask, name).__init__).parameters.values()
    fields = {p.name: repr(p.default).replace("'", '"') for p in parameters if p.default is not p.empty}
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \|", section(page, name), re.MULTILINE)
    assert dict(rows) == fields


@pytest.mark.parametrize("page", MODEL_PAGES)
@pytest.mark.parametrize(
    ("name", "function"),
    [("SamModel", "forward"), ("SamVisionModel", "forward"), ("SamProcessor", "__call__"), ("SamImageProcessor", None)],
)
def test_model_page_has_every_argument(name, function, page):
    from anymask.images.options import ImageOptions

    known = inspect.signature(getattr(getattr(anymask, name), function) if function else ImageOptions).parameters
    text = section(page, name)
    missing = [argument for argument in known if not re.search(rf"\b{argument}\b", text)]
    assert [argument for argument in missing if argument not in ("self", "kwargs")] == []


TRANSLATED = {
    "README.md": "README_zh.md",
    "docs/first-steps.md": "docs/zh/first-steps.md",
    "docs/fine-tuning.md": "docs/zh/fine-tuning.md",
    "docs/model_doc/sam.md": "docs/zh/model_doc/sam.md",
}


def outline(page: str) -> list[int]:
    """The levels of the headings, from top to bottom."""
    return [len(marks) for marks in re.findall(r"^(#+) ", prose(Path(page)), re.MULTILINE)]


def code(page: str) -> list[str]:
    """The blocks of code, without their comments."""
    blocks = FENCED.findall((REPOSITORY / page).read_text(encoding="utf-8"))
    return [re.sub(r" *# .*$", "", block, flags=re.MULTILINE) for block in blocks]


def tables(page: str) -> list[tuple[int, int]]:
    """Rows and columns of the tables that are written by hand."""
    text = re.sub(r"<!-- table: .*?<!-- end -->", "", prose(Path(page)), flags=re.DOTALL)
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [(len(table.splitlines()), table.splitlines()[0].count("|")) for table in found]


@pytest.mark.parametrize(("english", "chinese"), TRANSLATED.items())
def test_both_languages_have_the_same_sections_code_and_tables(english, chinese):
    assert outline(english) == outline(chinese)
    assert code(english) == code(chinese)
    assert tables(english) == tables(chinese)


def test_every_chinese_page_has_an_english_one():
    chinese = {str(page) for page in PAGES if "zh" in page.parts or page.stem.endswith("_zh")}
    assert chinese == set(TRANSLATED.values())


# What made each picture.
PICTURES = {
    "docs/images/hero.jpg": "utils/nano_pictures.py",
    "docs/images/demo.png": "utils/demo_picture.py",
    "docs/images/performance.png": "benchmarks/report.py",
    "docs/images/scaling.png": "benchmarks/report.py",
    "docs/results/sam-vit-nano/calibration.png": "utils/nano_pictures.py",
    "docs/results/sam-vit-nano/failures.jpg": "utils/nano_pictures.py",
    "docs/results/fine-tuning-ultrasound/curves.png": "src/anymask/training/fine_tuning/report.py",
    "docs/results/fine-tuning-ultrasound/overlays": "src/anymask/training/fine_tuning/report.py",
}


def test_every_picture_has_what_made_it():
    shown = set()
    for page in PAGES:
        for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", prose(page)):
            picture = Path(os.path.normpath(page.parent / path))
            shown.add((picture.parent if picture.parent.name == "overlays" else picture).as_posix())
    assert shown == set(PICTURES)
    for picture, script in PICTURES.items():
        assert Path(picture).name in (REPOSITORY / script).read_text(encoding="utf-8"), f"{script} makes {picture}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_that_are_named_are_there(page):
    named = re.findall(r"`(?:python |make )?((?:benchmarks|docs|examples|src|tests|utils|web)/[\w./-]+)", prose(page))
    assert [path for path in named if not (REPOSITORY / path.rstrip(".")).exists()] == []


def test_every_page_is_in_the_menu():
    menu = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    listed = re.findall(r"([\w./-]+\.md)$", menu, re.MULTILINE)
    assert sorted(f"docs/{page}" for page in listed if not page.startswith("repository/")) == sorted(
        page.as_posix() for page in PAGES if page.parts[0] == "docs"
    )
