"""A loop of one's own, with mixed precision and several GPUs."""

import torch
from torch.nn.parallel import DistributedDataParallel

from segloss_core import CombinedLoss, CrossEntropyLoss, DiceLoss


def make_criterion(group=None):
    options = {"mode": "multiclass", "ignore_index": 255}
    return CombinedLoss(
        {
            "ce": (0.5, CrossEntropyLoss(**options)),
            "dice": (0.5, DiceLoss(**options, process_group=group)),
        }
    )


def train(model, batches, device="cuda", group=None):
    criterion = make_criterion(group)
    if group is not None:
        model = DistributedDataParallel(model, process_group=group)
    optimizer = torch.optim.AdamW(model.parameters())
    scaler = torch.amp.GradScaler(device)
    for images, labels in batches:  # (B, 3, H, W), (B, H, W)
        with torch.autocast(device, torch.float16):
            logits = model(images)  # (B, C, H, W)
        loss = criterion(logits, labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
