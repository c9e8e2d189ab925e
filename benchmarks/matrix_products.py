"""How fast are the libraries that can compute a linear layer of the image encoder?

One product of ViT-B's MLP, 4096 x 768 by 768 x 3072 with a bias, in float32: `nn.Linear`, which calls MKL or what
PyTorch was built with; the same into memory that is there already; oneDNN's linear; a 1 x 1 convolution in
channels_last; and NumPy's product. Billions of floating-point operations a second, of the fastest of all runs, since
other programs can only make a run longer. All must agree.

    python benchmarks/matrix_products.py --threads 1
"""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from machine import describe, environment_of

TOKENS, CHANNELS, HIDDEN = 4096, 768, 3072
MAX_ERROR = 1e-4


def products() -> dict[str, Callable[[], torch.Tensor]]:
    """Ways to the same (TOKENS, HIDDEN)."""
    chance = torch.Generator().manual_seed(0)
    features = torch.rand(TOKENS, CHANNELS, generator=chance)
    weight = torch.rand(HIDDEN, CHANNELS, generator=chance) - 0.5
    bias = torch.rand(HIDDEN, generator=chance)
    there = torch.empty(TOKENS, HIDDEN)
    image = features.T.reshape(1, CHANNELS, TOKENS, 1).contiguous(memory_format=torch.channels_last)
    kernel = weight.reshape(HIDDEN, CHANNELS, 1, 1).contiguous(memory_format=torch.channels_last)
    ways = {
        "nn.Linear": lambda: F.linear(features, weight, bias),
        "into memory that is there": lambda: torch.addmm(bias, features, weight.T, out=there),
        "1 x 1 convolution": lambda: F.conv2d(image, kernel, bias)[0, :, :, 0].T,
        "NumPy": lambda: torch.from_numpy(features.numpy() @ weight.numpy().T + bias.numpy()),
    }
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        ways["oneDNN's linear"] = lambda: torch.ops.mkldnn._linear_pointwise(features, weight, bias, "none", [], "")
    return ways


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of torch; NumPy's are those of OMP_NUM_THREADS")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    options.device = "cpu"
    torch.set_num_threads(options.threads)
    ways = products()
    expected = ways["nn.Linear"]().clone()
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(options.repeats):
        for name, product in ways.items():
            start = time.perf_counter()
            result = product()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
            error = ((result - expected).abs().max() / expected.abs().max()).item()
            assert error < MAX_ERROR, f"{name} is off by {error:.2g}"
    for name, fastest in seconds.items():
        print(f"{name:26} {2 * TOKENS * CHANNELS * HIDDEN / fastest / 1e9:6.0f} GFLOP/s")
    print(describe(environment_of(options)))


if __name__ == "__main__":
    main()
