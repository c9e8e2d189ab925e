"""Muon for the hidden matrices, AdamW for everything else, and the running average of the weights.

Why an own Muon: `torch.optim.Muon` orthogonalises in bfloat16, which processors without such instructions emulate
slowly, and one matrix at a time. Here matrices of one shape go through together, in float32.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import Executor
from itertools import repeat
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
MATRICES_PER_JOB = 4


def orthogonalise(matrices: torch.Tensor, steps: int = NEWTON_SCHULZ_STEPS) -> torch.Tensor:
    """Bring the singular values of each matrix near 1, by the quintic Newton-Schulz iteration.

    Args:
        matrices: (N, rows, columns) float32.

    Returns:
        The same shape; singular values roughly in [0.7, 1.2].

    Source: Jordan et al., Muon (https://kellerjordan.github.io/posts/muon/).
    """
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    # The smaller side comes first, so that the squared matrices are small.
    x = matrices.mT if is_tall else matrices
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if is_tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised for hidden weight matrices (rows, columns), AdamW for all else.

    Which of the two a group of parameters has, its "muon" says. Matrices of one shape are orthogonalised together, a
    few at a time, by the threads of `pool` when it is given.

    The update is scaled to the root mean square of an AdamW update (0.2 times the square root of the longer side), so
    that both share one learning rate. Source: Liu et al., Muon is Scalable for LLM Training.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
        weight_decay: float = 0.0,
        pool: Executor | None = None,
    ):
        options = {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay, "muon": True}
        super().__init__(params, options)
        self.pool = pool

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not group["muon"]:
                self._step_adamw(parameters, group)
                continue
            by_shape = defaultdict(list)
            for parameter in parameters:
                by_shape[parameter.shape].append(parameter)
            jobs = [
                members[start : start + MATRICES_PER_JOB]
                for members in by_shape.values()
                for start in range(0, len(members), MATRICES_PER_JOB)
            ]
            run = map if self.pool is None else self.pool.map
            list(run(self._step_same_shape, jobs, repeat(group)))

    @torch.no_grad()
    def _step_same_shape(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        directions = []
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None
            buffer = self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
            buffer.lerp_(gradient, 1 - group["momentum"])
            directions.append(gradient.lerp(buffer, group["momentum"]))  # Nesterov's look ahead
        updates = orthogonalise(torch.stack(directions))
        scale = 0.2 * max(updates.shape[1:]) ** 0.5
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update, alpha=-group["lr"] * scale)

    @torch.no_grad()
    def _step_adamw(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                zeros = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
                self.state[parameter] = {"step": torch.tensor(0.0), **zeros}
        states = [self.state[parameter] for parameter in parameters]
        adamw(
            list[Tensor](parameters),
            [cast(Tensor, parameter.grad) for parameter in parameters],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            max_exp_avg_sqs=[],
            state_steps=[state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


def is_hidden_matrix(module: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    """True for the weight of a linear layer; embeddings, norms, biases, convolutions and output heads are AdamW's."""
    return isinstance(module, nn.Linear) and name == "weight" and min(parameter.shape) >= 32


def make_optimizer(
    model: nn.Module, learning_rate: float, weight_decay: float, use_muon: bool, pool: Executor | None = None
) -> Muon:
    """Muon for hidden matrices when asked for, AdamW for all else; weight decay only on matrices and kernels.

    Raises:
        ValueError: If no parameter can be trained.
    """
    hidden, decayed, plain = [], [], []
    seen = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            if use_muon and is_hidden_matrix(module, name, parameter):
                hidden.append(parameter)
            elif parameter.ndim >= 2 and isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                decayed.append(parameter)
            else:
                plain.append(parameter)
    if not seen:
        raise ValueError("The model must have parameters that require a gradient, but it has none.")
    groups = [
        {"params": hidden, "weight_decay": weight_decay, "muon": True},
        {"params": decayed, "weight_decay": weight_decay, "muon": False},
        {"params": plain, "weight_decay": 0.0, "muon": False},
    ]
    return Muon([group for group in groups if group["params"]], lr=learning_rate, pool=pool)


class WeightAverage:
    """Exponential moving average of a model's trainable weights, with a short memory at the start.

    Args:
        decay: weight of the past once many steps are done; after t steps it is at most (1 + t) / (10 + t).
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.steps = 0
        self.weights = {
            name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad
        }

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take a step of the model into the average."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, weight in model.named_parameters():
            if name in self.weights:
                self.weights[name].lerp_(weight, 1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the average and the model's weights; a second call brings them back."""
        for name, weight in model.named_parameters():
            if name in self.weights:
                current = weight.clone()
                weight.copy_(self.weights[name])
                self.weights[name].copy_(current)
