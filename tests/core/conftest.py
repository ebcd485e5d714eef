import torch
from hypothesis import settings

# The tensors here are small: a second thread costs more than it brings.
torch.set_num_threads(1)

settings.register_profile("core", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("core")
