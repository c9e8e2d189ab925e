"""Writes the tables and the chart of docs/performance.md anew from benchmarks/results/*.json.

    python benchmarks/report.py

The page has a pair of marks for each benchmark, `<!-- table: NAME -->` and `<!-- end -->`; what stands between them is
replaced by one table for each file of results of that benchmark, with the machine and the versions above it. All other
text of the page is written by hand.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from chart import draw
from harness import describe, table

HERE = Path(__file__).parent
MARKED = re.compile(r"(?P<begin><!-- table: (?P<name>\w+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
NOT_MEASURED = "Not measured yet.\n"


def filled(page: str, reports: list[dict]) -> str:
    """The page with its tables replaced."""
    known = {match["name"] for match in MARKED.finditer(page)}
    unknown = {report["benchmark"] for report in reports} - known
    if unknown:
        raise ValueError(f"the page must have marks for every benchmark, but has none for {sorted(unknown)}")

    def section(match: re.Match) -> str:
        tables = [
            f"{table(report)}\n\n{describe(report['environment'])}\n"
            for report in reports
            if report["benchmark"] == match["name"]
        ]
        return f"{match['begin']}\n{chr(10).join(tables) or NOT_MEASURED}\n{match['end']}"

    return MARKED.sub(section, page)


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
