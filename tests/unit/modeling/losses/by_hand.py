"""The losses in plain float64 arithmetic, one pixel at a time, and a batch to compute them of."""

import math

import torch

BATCH, PROMPTS, MASKS, HEIGHT, WIDTH = 2, 3, 4, 10, 15


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def by_hand(name, logits, targets, weights):
    """A loss of one mask, from lists of numbers."""
    p = [sigmoid(x) for x in logits]
    count = sum(weights)
    if name in ("focal", "bce"):
        total = 0.0
        for q, t, w in zip(p, targets, weights, strict=True):
            surprise = -(t * math.log(q) + (1 - t) * math.log(1 - q))
            hit = q * t + (1 - q) * (1 - t)
            factor = (0.25 * t + 0.75 * (1 - t)) * (1 - hit) ** 2 if name == "focal" else 1.0
            total += w * factor * surprise
        return total / count
    power, one = (1, 1.0) if name == "dice" else (2, 1e-5)
    overlap = sum(w * q * t for q, t, w in zip(p, targets, weights, strict=True))
    areas = sum(w * (q**power + t**power) for q, t, w in zip(p, targets, weights, strict=True))
    return 1 - (2 * overlap + one) / (areas + one)


def random_batch(dtype=torch.float64):
    logits = 3 * torch.randn(BATCH, PROMPTS, MASKS, HEIGHT, WIDTH, dtype=dtype)
    scores = torch.rand(BATCH, PROMPTS, MASKS, dtype=dtype)
    labels = torch.rand(BATCH, PROMPTS, HEIGHT, WIDTH) < 0.4
    return logits, scores, labels
