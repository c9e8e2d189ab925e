"""Short runs of `transformers.Trainer` on a tiny model, for tests, some of them in processes of their own.

python trainer_runs.py FOLDER BATCH_SIZE [fsdp]   trains, and writes the weights to FOLDER/weights.pt on process 0
"""

import gc
import sys
from pathlib import Path

import torch
from tests.tiny_sam import IMAGE_SIZE, tiny_model
from torch.utils.data import Dataset
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from anymask.training import SamDataCollator, arguments

OBJECTS = [1, 3, 2, 4, 1, 2, 3, 1, 2, 5, 1, 1, 3, 2, 1, 4]
"""Numbers of objects of the samples: ragged, so that a mean of means shows."""


class Boxes(Dataset):
    """Images with boxes alone, and masks of them."""

    def __init__(self, samples=None):
        self.samples = samples or len(OBJECTS)

    def __len__(self):
        return self.samples

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        corners = (torch.rand(OBJECTS[index], 2, 2, generator=generator) * IMAGE_SIZE).sort(dim=1).values
        labels = torch.zeros(OBJECTS[index], 40, 40, dtype=torch.int8)
        for label, ((x0, y0), (x1, y1)) in zip(labels, (corners / 2).int().tolist(), strict=True):
            label[y0 : y1 + 1, x0 : x1 + 1] = 1
        pixel_values = torch.randn(3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
        return {"pixel_values": pixel_values, "input_boxes": corners.flatten(1), "labels": labels}


def quiet_trainer(folder, model=None, dataset=None, eval_dataset=None, trainer=None, **settings):
    defaults = dict(max_steps=3, save_strategy="no", logging_strategy="steps", logging_steps=1, use_cpu=True)
    # Without Adam, which makes steps of one size out of gradients that are rounding alone.
    defaults |= dict(learning_rate=1e-3, lr_scheduler_type="constant", disable_tqdm=True, optim="sgd")
    made = Trainer(
        model=tiny_model() if model is None else model,
        args=arguments(str(folder), **{**defaults, **settings}),
        train_dataset=Boxes() if dataset is None else dataset,
        eval_dataset=eval_dataset,
        data_collator=SamDataCollator(),
        **(trainer or {}),
    )
    for callback in (PrinterCallback, ProgressCallback):
        made.remove_callback(callback)
    return made


def train(folder, batch_size, *how):
    sharded = dict(fsdp=True, fsdp_config={"version": 2, "transformer_layer_cls_to_wrap": ["VisionLayer"]})
    trainer = quiet_trainer(folder, per_device_train_batch_size=int(batch_size), **(sharded if how else {}))
    trainer.train()
    weights = trainer.accelerator.get_state_dict(trainer.model)
    if trainer.is_world_process_zero():
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        torch.save({"weights": weights, "losses": losses}, Path(folder) / "weights.pt")


def main(*told):
    torch.set_num_threads(1)
    train(*told)
    # The wrapped model goes first, then its group: a group that goes with the model waits, holding Python's lock, for
    # threads of its own that may want the lock; one that never goes may abort the process at its exit.
    gc.collect()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
