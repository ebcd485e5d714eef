"""nnU-Net."""

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import distributed

from segloss_core import CombinedLoss, CrossEntropyLoss, TverskyLoss


class nnUNetTrainerTversky(nnUNetTrainer):
    def _build_loss(self):
        void = self.label_manager.ignore_label  # None where there is none
        args = {"mode": "multiclass", "ignore_index": void}
        group = distributed.group.WORLD if self.is_ddp else None
        region = TverskyLoss(alpha=0.3, beta=0.7, process_group=group, **args)
        ce = CrossEntropyLoss(**args)
        ours = CombinedLoss({"ce": (1.0, ce), "region": (1.0, region)})
        if not self.enable_deep_supervision:
            return ours
        theirs = super()._build_loss()  # weights each resolution
        theirs.loss = ours
        return theirs
