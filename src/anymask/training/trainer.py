"""What `transformers.Trainer` must be told so that SAM's loss is right and evaluation fits into memory.

arguments(...)           TrainingArguments with these settings made
SegmentationMetrics()    IoU and Dice of the evaluation, batch by batch
SamTrainer               the Trainer of `anymask train` and of sam-vit-nano: threads may share a batch
last_checkpoint(...)     what a run goes on from
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import EvalPrediction, Trainer, TrainingArguments

from ..geometry.coordinates import PADDED_OBJECT
from ..masks.measures import iou_to_dice
from ..modeling.losses import check_mask_labels, find_objects, masks_iou

MISSING = -100.0  # what Trainer fills up with where processes have different numbers of objects


def arguments(output_dir: str, **kwargs: Any) -> TrainingArguments:
    """`TrainingArguments` with which Trainer works for SAM as for any model; every setting may be overridden.

    - `label_names=["labels"]`: otherwise `input_labels` count as labels too, and an evaluation of boxes has no loss;
    - `remove_unused_columns=False`: collators need all of a sample;
    - `batch_eval_metrics=True`, `eval_do_concat_batches=False`: masks of a whole data set are never kept;
    - `ddp_find_unused_parameters=True`: prompts of one kind leave the embeddings of the others without gradients;
    - `dataloader_pin_memory` only where there is a GPU to copy to.

    Args:
        output_dir: folder of checkpoints and logs.
        **kwargs: as for `transformers.TrainingArguments`.
    """
    settings: dict[str, Any] = {
        "label_names": ["labels"],
        "remove_unused_columns": False,
        "batch_eval_metrics": True,
        "eval_do_concat_batches": False,
        "ddp_find_unused_parameters": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "report_to": "none",
    }
    return TrainingArguments(output_dir=output_dir, **{**settings, **kwargs})


class SamTrainer(Trainer):
    """`transformers.Trainer`, of whose batches threads may take shares.

    On a CPU that does other work too, each of the thousands of operations of a step waits for the slowest of torch's
    own threads. Here every thread takes its share of the images through the model and meets the others once in a step;
    call `torch.set_num_threads(1)` with it.

    Args:
        threads: that share a batch. With 1, which is the default, this is Trainer.
        **kwargs: as for `transformers.Trainer`.

    Raises:
        ValueError: If there are several threads beside several processes.
    """

    def __init__(self, *args: Any, threads: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if threads > 1 and self.args.world_size > 1:
            raise ValueError(
                f"Batches must be shared by threads or by processes, got {threads} threads of each process."
            )
        self.threads = threads
        self.pool = ThreadPoolExecutor(threads)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Add the gradient of a batch to the parameters' gradients, and return its loss; arguments as in Trainer's."""
        if self.threads == 1:
            return super().training_step(model, inputs, num_items_in_batch)
        model.train()
        inputs = self._prepare_inputs(inputs)
        if num_items_in_batch is None:
            num_items_in_batch = inputs["labels"].ne(PADDED_OBJECT).sum()
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

        def share_of(thread: int) -> tuple[Tensor, Sequence[Tensor | None]]:
            part = {name: tensor[thread :: self.threads] for name, tensor in inputs.items()}
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, part, num_items_in_batch=num_items_in_batch)
            return loss.detach(), torch.autograd.grad(loss, parameters, allow_unused=True)

        shares = min(self.threads, len(inputs["labels"]))
        losses, gradients = zip(*self.pool.map(share_of, range(shares)), strict=True)
        for parameter, *parts in zip(parameters, *gradients, strict=True):
            for part in parts:
                if part is not None:
                    parameter.grad = part if parameter.grad is None else parameter.grad.add_(part)
        return torch.stack(losses).sum()


def last_checkpoint(folder: Path, needs: Sequence[str] = ()) -> Path | None:
    """The newest checkpoint in a folder that was written whole; Trainer writes its state last.

    Args:
        folder: Trainer's `output_dir`.
        needs: files that must be there besides.
    """
    found = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    whole = [path for path in found if _is_whole(path) and all((path / name).exists() for name in needs)]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _is_whole(checkpoint: Path) -> bool:
    """Whether Trainer's state can be read: a run that is killed may leave it empty, or cut short."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return True


class SegmentationMetrics:
    """Mean IoU and Dice of the masks, over objects, without keeping masks.

    Pass it to Trainer twice: `compute_metrics=metrics, preprocess_logits_for_metrics=metrics.preprocess`. "iou" and
    "dice" are of the mask with the highest predicted IoU, "best_iou" of the best mask.
    """

    def __init__(self) -> None:
        self._rows: list[Tensor] = []

    @staticmethod
    @torch.no_grad()
    def preprocess(logits: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        """Reduce a batch's outputs to (batch, prompts, 3): IoU and Dice of the chosen mask, IoU of the best.

        Args:
            logits: `iou_scores` and `pred_masks` of the outputs first; see `score_masks` for shapes.
            labels: (batch, prompts, label height, label width), as the loss takes them.
        """
        iou_scores, pred_masks = logits[:2]
        return score_masks(pred_masks, iou_scores, labels)

    def __call__(self, prediction: EvalPrediction, compute_result: bool = True) -> dict[str, float]:
        """Take a batch; with `compute_result` give the means of all batches, and begin anew."""
        predictions = prediction.predictions
        for scores in predictions if isinstance(predictions, list) else [predictions]:
            scores = torch.as_tensor(scores).float().reshape(-1, 3)
            self._rows.append(scores[scores[:, 0] >= 0].cpu())
        if not compute_result:
            return {}
        means = torch.cat(self._rows).mean(dim=0).tolist()
        self._rows = []
        return dict(zip(("iou", "dice", "best_iou"), means, strict=True))


def score_masks(pred_masks: Tensor, iou_scores: Tensor, labels: Tensor) -> Tensor:
    """IoU and Dice of the chosen mask and IoU of the best, (batch, prompts, 3); -100 for padding.

    Args:
        pred_masks: Logits, (batch, prompts, masks, height, width).
        iou_scores: (batch, prompts, masks).
        labels: (batch, prompts, label height, label width), as the loss takes them.
    """
    check_mask_labels(labels, pred_masks)
    logits = torch.nn.functional.interpolate(
        pred_masks.flatten(0, 1).float(), size=labels.shape[-2:], mode="bilinear", align_corners=False
    )
    iou = masks_iou(logits, labels.flatten(0, 1), labels.flatten(0, 1) >= 0).unflatten(0, labels.shape[:2])
    chosen = iou.take_along_dim(iou_scores.argmax(dim=-1, keepdim=True), dim=-1).squeeze(-1)
    scores = torch.stack([chosen, iou_to_dice(chosen), iou.amax(dim=-1)], dim=-1)
    return torch.where(find_objects(labels)[..., None], scores, MISSING)
