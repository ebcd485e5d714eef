"""Speed and memory of segloss_core beside other packages: `make bench`."""
