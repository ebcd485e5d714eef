"""Lightning."""

from criterion import make_criterion
from lightning import LightningModule
from torch import distributed


class Segmenter(LightningModule):
    def setup(self, stage):  # the processes are running now
        group = distributed.group.WORLD  # None in a single process
        self.criterion = make_criterion(group)

    def training_step(self, batch, index):
        images, labels = batch
        terms = self.criterion.terms(self(images), labels)
        self.log_dict(terms, sync_dist=True)
        return sum(terms.values())
