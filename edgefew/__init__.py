"""EdgeFew on the workstation: data, meta-training, evaluation. `edgefew --help` is the way in."""
