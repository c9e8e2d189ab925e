"""Writes the tables of README and docs, and the charts, anew from benchmarks/results/*.json.

    python benchmarks/report.py

docs/lab-book.md has a pair of marks for each benchmark, `<!-- table: NAME -->` and `<!-- end -->`; what stands between
them is replaced by one table for each file of results of that benchmark, with the machine and the versions under it.
`aims` is the table of what was aimed at and what was reached, `summary` and `summary_zh` are a few rows of all
benchmarks, in English and in Chinese. All other text of the pages is written by hand.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

from chart import draw, draw_scaling
from harness import REFERENCE, cell, table
from machine import describe, machine_of

HERE = Path(__file__).parent
PAGES = [HERE.parent / name for name in ("README.md", "README_zh.md", "docs/performance.md", "docs/lab-book.md")]
MARKED = re.compile(r"(?P<begin><!-- table: (?P<name>\w+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
NOT_MEASURED = "Not measured yet.\n"
SCALING_IMAGE = "![How time and memory grow, for both: lines, all axes logarithmic](images/scaling.png)\n"


class Aim(NamedTuple):
    """How many times less than another column a row should take at least.

    Attributes:
        benchmark: its name.
        beginning: of the row's name.
        times: what is aimed at.
        against: the other column.
        on_accelerator: whether this is about results of an accelerator, or of a processor.
    """

    benchmark: str
    beginning: str
    times: float
    against: str = REFERENCE
    on_accelerator: bool = False


AIMS = (
    Aim("encoder", "ViT-B, float32", 2.5),
    Aim("encoder", "ViT-B, float32", 1, "open_vino"),
    Aim("encoder", "ViT-B, bfloat16", 3),
    Aim("encoder", "ViT-B, bfloat16", 1, "open_vino"),
    Aim("decoder", "ViT-B, float32, 64 prompts", 6),
    Aim("decoder", "ViT-B, bfloat16, 64 prompts", 6),
    Aim("post_processing", "blobs", 15),
    Aim("post_processing", "sam-vit-nano", 15),
    Aim("everything", "ViT-B, float32", 8),
    Aim("everything", "sam-vit-nano, float32", 8),
    Aim("everything", "ViT-B, float32", 8, on_accelerator=True),
    Aim("everything", "ViT-B, bfloat16", 8, on_accelerator=True),
    Aim("everything", "ViT-H, float32", 8, on_accelerator=True),
    Aim("everything", "ViT-H, bfloat16", 8, on_accelerator=True),
    Aim("memory", "ViT-B, float32", 4),
    Aim("memory", "sam-vit-nano, float32", 4),
    Aim("preprocessing", "3000 x 4000 to 1024, Pillow", 2),
    Aim("preprocessing", "3000 x 4000 to 1024, torch", 2),
)


# What a reader wants to know first: benchmark and beginning of the row's name. What was not measured is left out.
SUMMARY = (
    ("everything", "ViT-H, bfloat16"),
    ("everything", "ViT-H, float32"),
    ("everything", "ViT-B, bfloat16"),
    ("everything", "ViT-B, float32"),
    ("everything", "sam-vit-nano, float32, 16 x 16"),
    ("encoder", "ViT-B, float32"),
    ("decoder", "ViT-B, float32, 64 prompts"),
    ("click", "ViT-B, float32, 1 x"),
    ("post_processing", "sam-vit-nano, 100 x 3"),
    ("preprocessing", "3000 x 4000 to 1024, Pillow"),
    ("start", "sam-vit-nano, everything"),
    ("memory", "ViT-B, float32, 0.5 megapixels"),
    ("memory", "sam-vit-nano, float32, 4 megapixels"),
)
HEAD = {"summary": "| | Transformers | anymask | times less |", "summary_zh": "| | Transformers | anymask | 缩减倍数 |"}
TITLES = {
    "everything": ("segment everything", "分割一切"),
    "encoder": ("image encoder", "图像编码器"),
    "decoder": ("mask decoder", "掩码解码器"),
    "click": ("a click on an encoded image", "在已编码图像上点击一次"),
    "post_processing": ("from logits to run lengths", "从 logits 到游程编码"),
    "preprocessing": ("preprocessing", "预处理"),
    "start": ("a whole command, imports included", "从启动到写出文件的整条命令"),
    "memory": ("memory of segment everything", "分割一切的内存"),
}
# Words of rows, in Chinese.
CHINESE = {
    " points": " 个点", " prompts": " 个提示", " masks": " 个掩码", " megapixels": " 百万像素",
    " to ": " 缩到 ", "transformers with Pillow": "transformers 也用 Pillow", "everything, ": "",
}  # fmt: skip


def filled(page: str, reports: list[dict]) -> str:
    """The page with its tables replaced."""

    def section(match: re.Match) -> str:
        if match["name"] == "aims":
            return f"{match['begin']}\n{aims(reports)}\n{match['end']}"
        if match["name"] in HEAD:
            return f"{match['begin']}\n{summary(reports, match['name'])}\n{match['end']}"
        measured = [report for report in reports if report["benchmark"] == match["name"]]
        parts = [f"{table(report)}\n\n{describe(report['environment'])}\n" for report in measured] or [NOT_MEASURED]
        if match["name"] == "scaling" and on_processor(measured):
            parts.insert(0, SCALING_IMAGE)
        return f"{match['begin']}\n{chr(10).join(parts)}\n{match['end']}"

    return MARKED.sub(section, page)


def check_marks(pages: list[str], reports: list[dict]) -> None:
    """Refuses results that no page has a place for."""
    known = {match["name"] for page in pages for match in MARKED.finditer(page)}
    unknown = {report["benchmark"] for report in reports} - known
    if unknown:
        raise ValueError(f"a page must have marks for every benchmark, but none has them for {sorted(unknown)}")


def summary(reports: list[dict], name: str) -> str:
    """The rows of SUMMARY that were measured, as one Markdown table for each machine, with the machine under it.

    Args:
        reports: of all benchmarks. Those with other peers than Transformers are left out: it takes longer beside them.
        name: "summary" or "summary_zh", for the language.
    """
    language = list(HEAD).index(name)
    tables: dict[str, list[str]] = {}
    for benchmark, beginning in SUMMARY:
        for where, row in _beside_transformers(reports, benchmark, beginning).items():
            theirs, ours = (row["results"][column]["median"] for column in (REFERENCE, "anymask"))
            medians = (cell(row["unit"], dict.fromkeys(("median", "lowest", "highest"), x)) for x in (theirs, ours))
            title, what = TITLES[benchmark][language], row["what"]
            if name == "summary_zh":
                for word, chinese in CHINESE.items():
                    what = what.replace(word, chinese)
            cells = [f"{title}: {what}", *medians, f"{theirs / ours:.1f}"]
            tables.setdefault(where, [HEAD[name], "| --- | --- | --- | --- |"]).append(f"| {' | '.join(cells)} |")
    return "\n".join("\n".join([*lines, "", where, ""]) for where, lines in tables.items()) or NOT_MEASURED


def _beside_transformers(reports: list[dict], benchmark: str, beginning: str) -> dict[str, dict]:
    """For each machine the first row of that name that has both columns, and no others."""
    rows: dict[str, dict] = {}
    for report in reports:
        for row in report["rows"] if report["benchmark"] == benchmark else []:
            both = set(row["results"]) == {REFERENCE, "anymask"}
            measured = all("median" in result for result in row["results"].values())
            if both and measured and row["what"].startswith(beginning) and not row.get("emulated"):
                rows.setdefault(machine_of(report["environment"]), row)
    return rows


def on_processor(reports: list[dict]) -> list[dict]:
    """Those that were measured without an accelerator."""
    return [report for report in reports if report["environment"]["accelerator"] is None]


def aims(reports: list[dict]) -> str:
    """What was aimed at, what was reached, and whether that is enough, as a Markdown table."""
    lines = ["| | against | anymask | ratio | aim |", "| --- | --- | --- | --- | --- |"]
    for aim in AIMS:
        for row in _rows(reports, aim)[:1]:
            theirs, ours = (row["results"][name] for name in (aim.against, "anymask"))
            ratio = theirs["median"] / ours["median"]
            verdict = "reached" if ratio >= aim.times else "missed"
            against, reached = (cell(row["unit"], result) for result in (theirs, ours))
            cells = [f"{aim.benchmark}: {row['what']}", f"{aim.against} {against}", reached, f"{ratio:.1f}"]
            lines.append(f"| {' | '.join(cells)} | {aim.times:g}, {verdict} |")
    return "\n".join(lines) + "\n"


def _rows(reports: list[dict], aim: Aim) -> list[dict]:
    """The rows that an aim is about, of those that both columns have measured; emulated bfloat16 is not aimed at."""
    return [
        row
        for report in reports
        if report["benchmark"] == aim.benchmark and bool(report["environment"]["accelerator"]) == aim.on_accelerator
        for row in report["rows"]
        if row["what"].startswith(aim.beginning)
        and not row.get("emulated")
        and all("median" in row["results"].get(name, {}) for name in (aim.against, "anymask"))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the JSON files")
    parser.add_argument("--pages", type=Path, nargs="+", default=PAGES)
    parser.add_argument("--images", type=Path, default=HERE.parent / "docs" / "images", help="folder of the charts")
    options = parser.parse_args()
    files = sorted(options.results.glob("*.json"))
    if not files:
        sys.exit(f"There must be results in {options.results}, found none; run benchmarks with --json FILE.")
    reports = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    draw(reports, options.images / "performance.png")
    scaling = on_processor([report for report in reports if report["benchmark"] == "scaling"])
    if scaling:
        draw_scaling(scaling, options.images / "scaling.png")
    pages = {path: path.read_text(encoding="utf-8") for path in options.pages}
    check_marks(list(pages.values()), reports)
    for path, page in pages.items():
        path.write_text(filled(page, reports), encoding="utf-8")


if __name__ == "__main__":
    main()
