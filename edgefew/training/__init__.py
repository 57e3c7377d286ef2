"""Meta-training: a labelled folder becomes a checkpoint."""
