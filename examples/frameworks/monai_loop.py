"""MONAI."""

import torch


def train(model, batches, criterion, optimizer, device="cuda"):
    for batch in batches:  # image and label: (B, 1, D, H, W)
        images = batch["image"].to(device)
        labels = batch["label"].to(device).long()  # transforms leave floats
        with torch.autocast(device, torch.bfloat16):
            logits = model(images)  # (B, C, D, H, W)
        criterion(logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()
