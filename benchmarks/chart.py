"""Draws the results: a bar for how many times less each row takes than Transformers, and how time and memory grow."""

from collections.abc import Sequence
from pathlib import Path

from harness import REFERENCE, SIZES
from matplotlib.figure import Figure

TITLES = {
    "encoder": "Image encoder",
    "decoder": "Mask decoder",
    "click": "A click",
    "post_processing": "Post-processing",
    "everything": "Segment everything",
    "precision": "Photo to masks of clicks",
    "memory": "Memory",
    "preprocessing": "Preprocessing",
    "start": "A whole command",
    "demo": "A click in the demo",
}
COLOURS = {"seconds": "#3b6fb6", "bytes": "#5a9e6f"}
INCHES_PER_BAR = 0.22

GROWING = {"megapixels": "megapixels", "points_per_side": "points per side", "points_per_batch": "points at a time"}
UNITS = {"seconds": ("seconds", 1), "bytes": ("GiB", 2**30)}
LINES = {REFERENCE: ("#9a9a9a", "Transformers"), "anymask": ("#3b6fb6", "anymask")}
DASHES = {"vit_b": "--", "vit_h": ":", "nano": "-"}


def ratios(reports: Sequence[dict]) -> list[tuple[str, str, float]]:
    """What, unit and ratio of every row that both have measured, by benchmark in the order of `TITLES`.

    Without bfloat16 where it is emulated, which says nothing about bfloat16, and without rows that have more columns:
    these are there without them as well.
    """
    found = []
    for name, title in TITLES.items():
        for report in reports:
            accelerator = report["environment"]["accelerator"]
            where = f"{title} on {accelerator}" if accelerator else title
            for row in report["rows"] if report["benchmark"] == name else ():
                results = [row["results"].get(column, {}) for column in (REFERENCE, "anymask")]
                is_pair = len(row["results"]) == len(results) and all("median" in result for result in results)
                if is_pair and not row.get("emulated"):
                    theirs, ours = (result["median"] for result in results)
                    found.append((f"{where}: {row['what']}", row["unit"], theirs / ours))
    return found


def draw(reports: Sequence[dict], file: Path) -> None:
    """Writes the chart of ratios as a PNG.

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
    axes.set_xlim(left=0.7, right=2 * max((ratio for _, _, ratio in bars), default=1))
    axes.set_xlabel("Transformers / anymask: time (blue), memory (green)")
    axes.tick_params(axis="y", labelsize=7)
    axes.margins(y=0.01)
    _save(figure, file)


def series(report: dict, size: str, growing: str, unit: str, column: str) -> list[tuple[float, float]]:
    """What grew and a column's median, for a model's rows in which all else is as the options' first entries say."""
    still = {name: report["options"][name][0] for name in ("dtype", *GROWING) if name != growing}
    return sorted(
        (row[growing], row["results"][column]["median"] / UNITS[unit][1])
        for row in report["rows"]
        if (row["size"], row["unit"]) == (size, unit)
        and "median" in row["results"][column]
        and all(row[name] == value for name, value in still.items())
    )


def draw_scaling(reports: Sequence[dict], file: Path) -> None:
    """Writes the chart of what bench_scaling.py measured as a PNG, all axes logarithmic.

    Args:
        reports: of bench_scaling.py, on one machine.
        file: where to.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    grid = figure.subplots(len(UNITS), len(GROWING), sharey="row")
    models = [(report, size) for report in reports for size in report["options"]["size"]]
    for row, (unit, (unit_name, _)) in enumerate(UNITS.items()):
        grid[row, 0].set_ylabel(unit_name)
        for axes, (growing, label) in zip(grid[row], GROWING.items(), strict=True):
            for report, size in models:
                for column, (colour, name) in LINES.items():
                    points = series(report, size, growing, unit, column)
                    style = dict(color=colour, linestyle=DASHES[size], marker="o", markersize=3)
                    axes.plot(*zip(*points, strict=True), label=f"{name}, {SIZES[size]}", **style)
            axes.set(xscale="log", yscale="log", xlabel=label)
            steps = sorted({step for report in reports for step in report["options"][growing]})
            axes.set_xticks(steps, [f"{step:g}" for step in steps])
            axes.minorticks_off()
            axes.yaxis.set_major_formatter("{x:g}")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    _save(figure, file)


def _save(figure: Figure, file: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110, bbox_inches="tight", metadata={"Software": None})
