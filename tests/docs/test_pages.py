"""Pages lead somewhere, and say of the code what it is: links, anchors, the reference, tables of fields."""

import inspect
import re
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
    assert f"## {name}\n\n::: anymask.{anymask._HOME_OF[name]}.{name}\n" in reference


def section(page: str, heading: str) -> str:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("name", ["SamConfig", "SamVisionConfig", "SamPromptEncoderConfig", "SamMaskDecoderConfig"])
def test_model_page_has_every_field_with_its_default(name):
    parameters = inspect.signature(getattr(anymask, name).__init__).parameters.values()
    fields = {p.name: repr(p.default).replace("'", '"') for p in parameters if p.default is not p.empty}
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \|", section("docs/model_doc/sam.md", name), re.MULTILINE)
    assert dict(rows) == fields


@pytest.mark.parametrize(
    ("name", "function"),
    [("SamModel", "forward"), ("SamVisionModel", "forward"), ("SamProcessor", "__call__"), ("SamImageProcessor", None)],
)
def test_model_page_has_every_argument(name, function):
    from anymask.images.options import ImageOptions

    known = inspect.signature(getattr(getattr(anymask, name), function) if function else ImageOptions).parameters
    text = section("docs/model_doc/sam.md", name)
    missing = [argument for argument in known if not re.search(rf"\b{argument}\b", text)]
    assert [argument for argument in missing if argument not in ("self", "kwargs")] == []
