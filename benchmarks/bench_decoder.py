"""How long does the mask decoder take for many prompts?

From an image embedding and points to low-resolution logits and scores, all of them: what segment-everything does with
each batch of points. (The generator asks for less, since it drops masks by their score before they are made; that is
part of bench_everything.py.) ViT-B has random weights, sam-vit-nano its own; the embedding is noise. anymask gets it
prepared, as whoever keeps an image has it; the rows "unprepared" give it the bare tensor, which it then prepares anew
in each call.

    python benchmarks/bench_decoder.py --size vit_b --prompts 1 4 16 64
"""

import torch
from harness import SIZES, Benchmark, option_parser, parse_options, relative_error
from subjects import Pair, load_pair

MAX_ERROR = {"float32": 1e-3, "bfloat16": 1e-1}


def compare(benchmark: Benchmark, pair: Pair, size: str, dtype: str, prompts: int, is_prepared: bool) -> None:
    embedding, points = pair.embedding(), pair.points(prompts)
    image = pair.ours.prepare_image(embedding) if is_prepared else embedding
    columns = {
        "transformers": lambda: pair.theirs(image_embeddings=embedding, input_points=points.to(pair.dtype)).pred_masks,
        "anymask": lambda: pair.ours(image_embeddings=image, input_points=points).pred_masks,
        **benchmark.peers("decoder", pair, embedding, points),
    }
    what = f"{SIZES[size]}, {dtype}, {prompts} prompts" + ("" if is_prepared else ", unprepared")
    benchmark.compare(what, columns, relative_error(MAX_ERROR[dtype]), size=size, dtype=dtype, prompts=prompts)


@torch.inference_mode()
def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--prompts", type=int, nargs="+", default=[1, 16, 64], help="points, each a prompt of its own")
    options = parse_options(parser, smoke=dict(prompts=[3]))
    benchmark = Benchmark("decoder", "How long does the mask decoder take for many prompts?", options)
    for size in options.size:
        for dtype in options.dtype:
            pair = load_pair(size, dtype, options.device)
            for prompts in options.prompts:
                for is_prepared in (True, False):
                    compare(benchmark, pair, size, dtype, prompts, is_prepared)
    benchmark.finish()


if __name__ == "__main__":
    main()
