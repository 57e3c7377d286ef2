"""EdgeFew's export kit: a checkpoint becomes a bundle that proves itself.

Kept light on purpose: importing this package does not import torch. Import what you need from its modules:
`checkpoint`, `labelled_folder`, `episodes`, `evaluation`, `bundle_writer`.
"""
