"""Hugging Face transformers."""

from criterion import make_criterion
from torch.nn.functional import interpolate
from transformers import Trainer


class SegmentationTrainer(Trainer):
    criterion = make_criterion()
    loss_is_scaled_for_ga = False  # the mean of one batch

    def compute_loss(self, model, inputs, return_outputs=False, **unused):
        labels = inputs.pop("labels")  # or the model computes its own loss
        outputs = model(**inputs)  # logits: (B, C, H/4, W/4)
        size = labels.shape[-2:]
        logits = interpolate(outputs.logits, size, mode="bilinear")
        loss = self.criterion(logits, labels)
        return (loss, outputs) if return_outputs else loss
