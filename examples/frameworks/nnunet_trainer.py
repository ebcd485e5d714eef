"""nnU-Net."""

from criterion import make_criterion
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import distributed


class nnUNetTrainerSegloss(nnUNetTrainer):
    def _build_loss(self):
        group = distributed.group.WORLD  # None in a single process
        void = self.label_manager.ignore_label  # None where there is none
        ours = make_criterion(group, void)
        if not self.enable_deep_supervision:
            return ours
        theirs = super()._build_loss()  # weights each resolution
        theirs.loss = ours
        return theirs
