"""Lightning."""

import lightning
import torch
from torch import distributed


class Segmenter(lightning.LightningModule):
    def __init__(self, network, make_criterion):
        super().__init__()
        self.network, self.make_criterion = network, make_criterion

    def setup(self, stage):  # the processes are running now
        several = distributed.is_initialized()
        group = distributed.group.WORLD if several else None
        self.criterion = self.make_criterion(group)

    def training_step(self, batch, index):
        images, labels = batch
        terms = self.criterion.terms(self.network(images), labels)
        self.log_dict(terms, sync_dist=True)
        return sum(terms.values())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters())
