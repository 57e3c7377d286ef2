"""Episodes: `edgefew_runtime.episodes`, where a device finds them too."""

from edgefew_runtime.episodes import Episode, EpisodeSampler

__all__ = ["Episode", "EpisodeSampler"]
