"""The fine-tuning code that people paste: with `SamModel` and `SamProcessor` of this package and nothing else changed.

Written anew from what it does: a data set that calls the processor with one box per image, parts frozen by the names of
parameters, masks compared at 256 x 256 by a loss of MONAI.
"""

import numpy as np
import pytest
import torch
from tests.tiny_sam import tiny_config, tiny_image_processor
from torch.nn.functional import threshold
from torch.utils.data import DataLoader, Dataset

from anymask import SamModel, SamProcessor

SIDE = 1024  # whose masks have 256 x 256 pixels with patches of 16, as SAM's


def bounding_box(ground_truth_map):
    y_indices, x_indices = np.where(ground_truth_map > 0)
    height, width = ground_truth_map.shape
    shift = np.random.default_rng(0).integers(0, 20, 4)
    return [
        max(0, int(x_indices.min() - shift[0])),
        max(0, int(y_indices.min() - shift[1])),
        min(width, int(x_indices.max() + shift[2])),
        min(height, int(y_indices.max() + shift[3])),
    ]


class SAMDataset(Dataset):
    def __init__(self, dataset, processor):
        self.dataset, self.processor = dataset, processor

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, idx):
        item = self.dataset[idx]
        ground_truth_mask = np.array(item["label"])
        prompt = bounding_box(ground_truth_mask)
        inputs = self.processor(item["image"], input_boxes=[[prompt]], return_tensors="pt")
        inputs = {k: v.squeeze(0) for k, v in inputs.items()}  # remove the batch dimension
        inputs["ground_truth_mask"] = ground_truth_mask
        return inputs


@pytest.mark.filterwarnings("ignore")  # MONAI's, on import
def test_it_runs_and_learns():
    from monai.losses import DiceCELoss

    rows = []
    for index in range(4):
        label = np.zeros((256, 256), np.uint8)
        label[40 + 9 * index : 150, 60 : 170 + 11 * index] = 1
        rows.append({"image": np.repeat((200 * label + 20)[..., None], 3, axis=2), "label": label})
    parts = dict(image_size=SIDE, patch_size=16)
    torch.manual_seed(0)
    model = SamModel(tiny_config({**parts, "window_size": 8, "global_attn_indexes": []}, parts))
    processor = SamProcessor(tiny_image_processor(SIDE, mask_size=256, mask_pad_size=256))
    train_dataloader = DataLoader(SAMDataset(rows, processor), batch_size=2, shuffle=True)
    batch = next(iter(train_dataloader))
    assert batch["input_boxes"].shape == (2, 1, 4) and batch["ground_truth_mask"].shape == (2, 256, 256)

    for name, param in model.named_parameters():
        if name.startswith("vision_encoder") or name.startswith("prompt_encoder"):  # noqa: PIE810
            param.requires_grad_(False)
    optimizer = torch.optim.Adam(model.mask_decoder.parameters(), lr=1e-3, weight_decay=0)
    seg_loss = DiceCELoss(sigmoid=True, squared_pred=True, reduction="mean")
    model.train()
    epoch_losses = []
    for _ in range(3):
        losses = []
        for batch in train_dataloader:
            outputs = model(
                pixel_values=batch["pixel_values"], input_boxes=batch["input_boxes"], multimask_output=False
            )
            predicted_masks = outputs.pred_masks.squeeze(1)
            ground_truth_masks = batch["ground_truth_mask"].float()
            loss = seg_loss(predicted_masks, ground_truth_masks.unsqueeze(1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        epoch_losses.append(np.mean(losses))
    assert epoch_losses[-1] < epoch_losses[0]

    prompt = bounding_box(rows[0]["label"])
    inputs = processor(rows[0]["image"], input_boxes=[[prompt]], return_tensors="pt")
    model.eval()
    with torch.no_grad():
        outputs = model(**inputs, multimask_output=False)
    probabilities = torch.sigmoid(threshold(outputs.pred_masks.squeeze(1), -1e9, 0)).numpy().squeeze()
    assert (probabilities > 0.5).astype(np.uint8).shape == (256, 256)
