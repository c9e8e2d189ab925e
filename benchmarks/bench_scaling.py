"""How do time and memory of segment-everything grow with the photo, the points, and the points at a time?

One of the three grows, the others stay as the first of their lists says; so the first row of all belongs to each of the
three series. Time and memory are measured as in bench_everything.py and bench_memory.py, but every row is a process of
its own for each column: the first run tells the memory, the next ones the time. Where Transformers' masks would take
more than a third of the memory there is, it is not run.

`points_per_batch` is how many points are decoded before their masks are filtered. In Transformers they are also what is
computed at a time; anymask chooses that by itself.

    python benchmarks/bench_scaling.py --size nano --points-per-batch 64 16 4 1
"""

from collections.abc import Sequence

from alone import COLUMNS, FILTERS_SIZE_HW, segment_alone, why_not
from harness import SIZES, Benchmark, option_parser, parse_options, spread
from subjects import SAME_MASKS, load_pair, photo

GROWING = ("megapixels", "points_per_side", "points_per_batch")


def workloads(*lists: Sequence) -> list[tuple]:
    """The first of each list together, then that with each of the other entries in its place."""
    first = tuple(entries[0] for entries in lists)
    return [first] + [
        (*first[:index], entry, *first[index + 1 :]) for index, entries in enumerate(lists) for entry in entries[1:]
    ]


def compare(benchmark: Benchmark, size: str, dtype: str, workload: dict, filters: dict) -> None:
    """Adds two rows, of time and of memory."""
    device, repeats = benchmark.options.device, benchmark.options.repeats
    facts = dict(size=size, dtype=dtype, filters=filters, **workload)
    seconds: dict[str, dict] = {}
    memory: dict[str, dict] = {}
    records: dict[str, list] = {}
    for column in COLUMNS:
        reason = why_not(column, workload["megapixels"], workload["points_per_batch"], device)
        if reason:
            seconds[column] = memory[column] = {"not_run": reason, "agreement": {}}
            continue
        measured = segment_alone(column=column, device=device, timed_runs=repeats, **facts)
        seconds[column] = {**spread(measured["seconds"]), "agreement": {}}
        memory[column] = {**spread([measured["peak_bytes"]]), "agreement": {}}
        records[column] = measured["records"]
    if len(records) == len(COLUMNS):
        seconds["anymask"]["agreement"] = SAME_MASKS[dtype](*records.values())
    side = workload["points_per_side"]
    what = f"{workload['megapixels']:g} megapixels, {side} x {side} points, {workload['points_per_batch']} at a time"
    benchmark.add_row(f"{SIZES[size]}, {dtype}, {what}", "seconds", seconds, **facts)
    benchmark.add_row(f"{SIZES[size]}, {dtype}, {what}", "bytes", memory, **facts)


def main() -> None:
    parser = option_parser(__doc__, repeats=1)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.5, 2, 8, 32], help="sizes of the photo")
    parser.add_argument("--points-per-side", type=int, nargs="+", default=[8, 16, 32], help="of the grid of points")
    parser.add_argument("--points-per-batch", type=int, nargs="+", default=[64, 16, 4], help="points at a time")
    options = parse_options(parser, smoke=dict(megapixels=[0.01], points_per_side=[3], points_per_batch=[4]))
    question = "How do time and memory of segment-everything grow with the photo, the points, and the points at a time?"
    benchmark = Benchmark("scaling", question, options)
    for size in options.size:
        for dtype in options.dtype:
            filters = load_pair(size, dtype, options.device).filters(photo(FILTERS_SIZE_HW))
            for workload in workloads(*(getattr(options, name) for name in GROWING)):
                compare(benchmark, size, dtype, dict(zip(GROWING, workload, strict=True)), filters)
    benchmark.rows.sort(key=lambda row: row["unit"] == "bytes")  # time first, then memory
    benchmark.finish()


if __name__ == "__main__":
    main()
