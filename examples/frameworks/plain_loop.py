"""A loop of one's own, with mixed precision."""

import torch


def train(model, batches, criterion, optimizer, device="cuda"):
    scaler = torch.amp.GradScaler(device)
    for images, labels in batches:  # (B, 3, H, W), (B, H, W)
        with torch.autocast(device, torch.float16):
            logits = model(images)  # (B, C, H, W)
        loss = criterion(logits, labels)  # float32
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
