"""segmentation_models_pytorch."""

import segmentation_models_pytorch as smp
import torch


def train(batches, criterion, device="cuda", **encoder):
    model = smp.Unet(classes=19, activation=None, **encoder).to(device)
    optimizer = torch.optim.AdamW(model.parameters())
    for images, masks in batches:  # (B, 3, H, W), (B, H, W)
        with torch.autocast(device, torch.bfloat16):
            logits = model(images.to(device))  # (B, C, H, W)
        criterion(logits, masks.to(device).long()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model
