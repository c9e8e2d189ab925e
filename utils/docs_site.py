"""Brings the Markdown that lies outside of docs/ into the site, as `hooks` of mkdocs.yml.

A page of docs/ may link to any file of the repository, as on a hosting page: `../CHANGELOG.md`, `../src/.../README.md`.
Each such file is added to the site under `repository/`, with those that it links to, and links are rewritten to match.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS, OUTSIDE = "docs/", "repository/"
LINK = re.compile(r"(?<=\]\()(?P<path>[^)#\s:]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds every file outside of docs/ that a page leads to."""
    waiting = [f"{DOCS}{page.src_uri}" for page in files.documentation_pages()]
    waiting += [path.relative_to(ROOT).as_posix() for path in ROOT.glob("*.md")]
    seen = set(waiting)
    for path in waiting:
        if not path.startswith(DOCS):
            files.append(File.generated(config, _in_site(path), abs_src_path=str(ROOT / path)))
        if path.endswith(".md"):
            targets = {_target(path, match) for match in LINK.finditer((ROOT / path).read_text(encoding="utf-8"))}
            new = sorted(target for target in targets - seen if _is_outside(target))
            seen.update(new)
            waiting += new
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrites the links that cross the border of docs/."""
    source = page.file.src_uri
    path = source.removeprefix(OUTSIDE) if source.startswith(OUTSIDE) else f"{DOCS}{source}"

    def rewrite(match: re.Match[str]) -> str:
        target = _target(path, match)
        if path.startswith(DOCS) and target.startswith(DOCS):
            return match["path"]
        return posixpath.relpath(_in_site(target), posixpath.dirname(source) or ".")

    return LINK.sub(rewrite, markdown)


def _target(path: str, link: re.Match[str]) -> str:
    """The file in the repository that a link of the file `path` leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link["path"]))


def _is_outside(target: str) -> bool:
    return not target.startswith((DOCS, "..")) and (ROOT / target).is_file()


def _in_site(path: str) -> str:
    return path.removeprefix(DOCS) if path.startswith(DOCS) else OUTSIDE + path
