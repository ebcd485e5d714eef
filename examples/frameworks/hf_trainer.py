"""Hugging Face transformers."""

import torch.nn.functional as F
from transformers import Trainer


class SegmentationTrainer(Trainer):
    criterion = None  # set it before training
    loss_is_scaled_for_ga = False  # the mean of one batch

    def compute_loss(self, model, inputs, return_outputs=False, **unused):
        labels = inputs.pop("labels")  # or the model computes its own loss
        outputs = model(**inputs)
        logits = F.interpolate(
            outputs.logits,  # (B, C, H/4, W/4)
            labels.shape[-2:],
            mode="bilinear",
            align_corners=False,
        )
        loss = self.criterion(logits, labels)
        return (loss, outputs) if return_outputs else loss
