"""Draws how many times faster, or smaller, anymask is than Transformers: a bar for each row of the results."""

from collections.abc import Sequence
from pathlib import Path

from harness import REFERENCE
from matplotlib.figure import Figure

TITLES = {
    "encoder": "Image encoder",
    "decoder": "Mask decoder",
    "click": "A click",
    "post_processing": "Post-processing",
    "everything": "Segment everything",
    "memory": "Memory",
    "preprocessing": "Preprocessing",
    "start": "A whole command",
}
COLOURS = {"seconds": "#3b6fb6", "bytes": "#5a9e6f"}
INCHES_PER_BAR = 0.22


def ratios(reports: Sequence[dict]) -> list[tuple[str, str, float]]:
    """What, unit and ratio of every row that both have measured, by benchmark in the order of `TITLES`."""
    found = []
    for report in sorted(reports, key=lambda report: list(TITLES).index(report["benchmark"])):
        for row in report["rows"]:
            results = [row["results"].get(name, {}) for name in (REFERENCE, "anymask")]
            if all("median" in result for result in results):
                theirs, ours = (result["median"] for result in results)
                found.append((f"{TITLES[report['benchmark']]}: {row['what']}", row["unit"], theirs / ours))
    return found


def draw(reports: Sequence[dict], file: Path) -> None:
    """Writes the chart as a PNG.

    Args:
        reports: what the benchmarks wrote.
        file: where to.
    """
    bars = ratios(reports)[::-1]
    figure = Figure(figsize=(9, 1 + INCHES_PER_BAR * len(bars)))
    axes = figure.add_subplot()
    axes.barh(
        [what for what, _, _ in bars], [ratio for _, _, ratio in bars], color=[COLOURS[unit] for _, unit, _ in bars]
    )
    for index, (_, _, ratio) in enumerate(bars):
        axes.text(ratio * 1.03, index, f"{ratio:.1f}", va="center", fontsize=7)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(left=0.7, right=2 * max(ratio for _, _, ratio in bars))
    axes.set_xlabel("Transformers / anymask: time (blue), memory (green)")
    axes.tick_params(axis="y", labelsize=7)
    axes.margins(y=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110, bbox_inches="tight", metadata={"Software": None})
