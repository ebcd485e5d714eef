"""MONAI."""

import torch
from monai.networks.nets import UNet


def train(batches, criterion, device="cuda"):
    network = UNet(3, 1, 4, channels=(16, 32), strides=(2,)).to(device)
    optimizer = torch.optim.AdamW(network.parameters())
    for batch in batches:  # image and label: (B, 1, D, H, W)
        images = batch["image"].to(device)
        labels = batch["label"].to(device).long()  # transforms leave floats
        with torch.autocast(device, torch.bfloat16):
            logits = network(images)  # (B, C, D, H, W)
        criterion(logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    return network
