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

from chart import draw
from harness import REFERENCE, cell, table
from machine import describe

HERE = Path(__file__).parent
MARKED = re.compile(r"(?P<begin><!-- table: (?P<name>\w+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
NOT_MEASURED = "Not measured yet.\n"
AIMS = (
    ("encoder", "ViT-B, float32", 2.5),
    ("decoder", "ViT-B, float32, 64 prompts", 6),
    ("post_processing", "blobs", 15),
    ("post_processing", "sam-vit-nano", 15),
    ("everything", "ViT-B, float32", 8),
    ("everything", "sam-vit-nano, float32", 8),
    ("memory", "ViT-B, float32", 4),
    ("memory", "sam-vit-nano, float32", 4),
    ("preprocessing", "3000 x 4000 to 1024, Pillow", 2),
    ("preprocessing", "3000 x 4000 to 1024, torch", 2),
)
"""A benchmark, the beginning of a row's name, and how many times less than Transformers' it should take at least."""


def filled(page: str, reports: list[dict]) -> str:
    """The page with its tables replaced."""
    known = {match["name"] for match in MARKED.finditer(page)} - {"aims"}
    unknown = {report["benchmark"] for report in reports} - known
    if unknown:
        raise ValueError(f"the page must have marks for every benchmark, but has none for {sorted(unknown)}")

    def section(match: re.Match) -> str:
        if match["name"] == "aims":
            return f"{match['begin']}\n{aims(reports)}\n{match['end']}"
        tables = [
            f"{table(report)}\n\n{describe(report['environment'])}\n"
            for report in reports
            if report["benchmark"] == match["name"]
        ]
        return f"{match['begin']}\n{chr(10).join(tables) or NOT_MEASURED}\n{match['end']}"

    return MARKED.sub(section, page)


def aims(reports: list[dict]) -> str:
    """What was aimed at, what was reached, and whether that is enough, as a Markdown table."""
    lines = ["| | transformers | anymask | ratio | aim |", "| --- | --- | --- | --- | --- |"]
    for benchmark, beginning, aim in AIMS:
        for row in _rows(reports, benchmark, beginning)[:1]:
            theirs, ours = (row["results"][name] for name in (REFERENCE, "anymask"))
            ratio = theirs["median"] / ours["median"]
            verdict = "reached" if ratio >= aim else "missed"
            cells = [f"{benchmark}: {row['what']}", *(cell(row["unit"], result) for result in (theirs, ours))]
            lines.append(f"| {' | '.join(cells)} | {ratio:.1f} | {aim}, {verdict} |")
    return "\n".join(lines) + "\n"


def _rows(reports: list[dict], benchmark: str, beginning: str) -> list[dict]:
    """The rows of a benchmark whose name begins so, and that both have measured."""
    return [
        row
        for report in reports
        if report["benchmark"] == benchmark
        for row in report["rows"]
        if row["what"].startswith(beginning) and all("median" in result for result in row["results"].values())
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the JSON files")
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "performance.md")
    parser.add_argument("--chart", type=Path, default=HERE.parent / "docs" / "images" / "performance.png")
    options = parser.parse_args()
    files = sorted(options.results.glob("*.json"))
    if not files:
        sys.exit(f"There must be results in {options.results}, found none; run benchmarks with --json FILE.")
    reports = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    draw(reports, options.chart)
    options.page.write_text(filled(options.page.read_text(encoding="utf-8"), reports), encoding="utf-8")


if __name__ == "__main__":
    main()
