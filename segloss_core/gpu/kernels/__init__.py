"""What runs on the GPU, in Triton's language; who calls it stands one room above.

A program takes some pixels of one image with all classes, reads their logits once and keeps them in
registers. Whatever is added up leaves it as one row, so that a sum is the same at every run.
"""
