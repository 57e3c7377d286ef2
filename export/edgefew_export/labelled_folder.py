"""Labelled folders: `edgefew_runtime.labelled_folder`, where a device finds them too."""

from edgefew_runtime.labelled_folder import LabelledFolder, read_frames, read_labelled_folder, read_labelled_folders

__all__ = ["LabelledFolder", "read_frames", "read_labelled_folder", "read_labelled_folders"]
