"""Writes the tables and the chart of docs/performance.md anew from benchmarks/results/*.json.

    python benchmarks/report.py

The page has a pair of marks for each benchmark, `<!-- table: NAME -->` and `<!-- end -->`; what stands between them is
replaced by one table for each file of results of that benchmark, with the machine and the versions under it. `aims` is
the table of what was aimed at and what was reached. All other text of the page is written by hand.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

from chart import draw, draw_scaling
from harness import REFERENCE, cell, table
from machine import describe

HERE = Path(__file__).parent
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


def filled(page: str, reports: list[dict]) -> str:
    """The page with its tables replaced."""
    known = {match["name"] for match in MARKED.finditer(page)} - {"aims"}
    unknown = {report["benchmark"] for report in reports} - known
    if unknown:
        raise ValueError(f"the page must have marks for every benchmark, but has none for {sorted(unknown)}")

    def section(match: re.Match) -> str:
        if match["name"] == "aims":
            return f"{match['begin']}\n{aims(reports)}\n{match['end']}"
        measured = [report for report in reports if report["benchmark"] == match["name"]]
        parts = [f"{table(report)}\n\n{describe(report['environment'])}\n" for report in measured] or [NOT_MEASURED]
        if match["name"] == "scaling" and on_processor(measured):
            parts.insert(0, SCALING_IMAGE)
        return f"{match['begin']}\n{chr(10).join(parts)}\n{match['end']}"

    return MARKED.sub(section, page)


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
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "performance.md")
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
    options.page.write_text(filled(options.page.read_text(encoding="utf-8"), reports), encoding="utf-8")


if __name__ == "__main__":
    main()
