"""How much memory does segment-everything need, beyond the weights and the photo?

Each run is a process of its own: it loads the model and the photo, notes the memory that it has, segments everything to
run-length encoded masks, and reports by how much its resident memory rose at the highest; on a CUDA device, the memory
of its tensors there. The photo is that of examples/, resized up to 100 megapixels. The two columns do what those of
bench_everything.py do, with 8 x 8 points: one batch of Transformers' 64, whose memory does not depend on how many
batches follow.

Transformers holds the masks of a batch at the size of the photo, three for each point, as floats and more than once.
Where the floats alone, once, would take more than a third of the memory there is, it is not run.

    python benchmarks/bench_memory.py --size nano --megapixels 0.5 12 100
"""

from alone import COLUMNS, FILTERS_SIZE_HW, segment_alone, why_not
from harness import SIZES, Benchmark, option_parser, parse_options, spread
from subjects import SAME_MASKS, load_pair, photo
from their_steps import BATCH


def compare(benchmark: Benchmark, size: str, dtype: str, megapixels: float, filters: dict) -> None:
    options = benchmark.options
    facts = dict(size=size, dtype=dtype, megapixels=megapixels, filters=filters)
    workload = dict(points_per_side=options.points_per_side, points_per_batch=BATCH, device=options.device)
    results: dict[str, dict] = {}
    records: dict[str, list] = {}
    for column in COLUMNS:
        reason = why_not(column, megapixels, BATCH, options.device)
        if reason:
            results[column] = {"not_run": reason, "agreement": {}}
            continue
        runs = [segment_alone(column=column, **facts, **workload) for _ in range(options.repeats)]
        results[column] = {**spread([run["peak_bytes"] for run in runs]), "agreement": {}}
        records[column] = runs[0]["records"]
    if len(records) == len(COLUMNS):
        results["anymask"]["agreement"] = SAME_MASKS[dtype](*records.values())
    benchmark.add_row(f"{SIZES[size]}, {dtype}, {megapixels:g} megapixels", "bytes", results, **facts)


def main() -> None:
    parser = option_parser(__doc__, repeats=1)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.5, 4, 100], help="sizes of the photo")
    parser.add_argument("--points-per-side", type=int, default=8, help="of the grid of points")
    options = parse_options(parser, smoke=dict(megapixels=[0.01], points_per_side=2))
    question = "How much memory does segment-everything need, beyond the weights and the photo?"
    benchmark = Benchmark("memory", question, options)
    for size in options.size:
        for dtype in options.dtype:
            filters = load_pair(size, dtype, options.device).filters(photo(FILTERS_SIZE_HW))
            for megapixels in options.megapixels:
                compare(benchmark, size, dtype, megapixels, filters)
    benchmark.finish()


if __name__ == "__main__":
    main()
