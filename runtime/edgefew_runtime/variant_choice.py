"""Which variant of a bundle's network this machine runs: the fastest, measured once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .bundle import VARIANT, Bundle
from .errors import BundleError
from .loading import load_embedder
from .model_cache import ModelCache, cache_key
from .processor import processor_identity
from .session import DEFAULT_PROFILE, Session, runs_on_cpu, runtime_identity, thread_count

LEAST_SPEEDUP = 1.05
"""A variant that is faster by less than this is not chosen: it may be by chance, and fp32 is the source's own."""

FOR_GPUS = ("fp16",)
"""Variants that no processor computes faster than fp32."""

_RUNS, _WARM_UP = 15, 3


def choose_variant(
    bundle: Bundle,
    *,
    provider: str = "cpu",
    profile: str = DEFAULT_PROFILE,
    threads: int | None = None,
    cache: Path | None = None,
    load: Callable[..., Session] = load_embedder,
    clock: Callable[[], float] = time.perf_counter,
) -> str:
    """The name of the fastest variant for this provider: measured the first time, remembered in the cache.

    A bundle of fp32 alone is not measured. Nor is any where nothing can be remembered: there it is fp32, because a
    measurement at every start would cost more than it brings. A variant that does not compute here what it should is
    not chosen.

    Args:
        bundle: the opened bundle.
        provider: as for `Classifier.open`.
        profile: as for `Classifier.open`.
        threads: as for `Classifier.open`.
        cache: the folder to remember the choice in (`model_cache.cache_folder`).
        load: gives a tested session, as `load_embedder` does.
        clock: seconds.

    Raises:
        BundleError: fp32 does not compute here what it should.
        ProviderError: the provider is not there.
    """
    others = [name for name in bundle.manifest.variants if (name in FOR_GPUS) != runs_on_cpu(provider)]
    if not others or cache is None:
        return VARIANT
    notes = ModelCache(cache)
    settings = (provider.lower(), str(thread_count(threads, profile)), profile)
    machine = (runtime_identity(), processor_identity())
    keys = {name: cache_key("fastest", bundle.id, name, *settings, *machine) for name in (VARIANT, *others)}
    for name, key in keys.items():
        if notes.remembers(key):
            return name
    sessions: dict[str, Session] = {}
    for name in keys:
        with contextlib.suppress(*([] if name == VARIANT else [BundleError])):
            sessions[name] = load(
                bundle, provider=provider, threads=threads, profile=profile, variant=name, cache=cache
            )
    fastest = _fastest(bundle, sessions, clock)
    with contextlib.suppress(OSError):
        notes.remember(keys[fastest])
    return fastest


def _fastest(bundle: Bundle, sessions: dict[str, Session], clock: Callable[[], float]) -> str:
    """The session with the least median time for one frame; fp32 where no other is clearly faster."""
    frame = {"frames": bundle.golden()[0][0][None]}
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(_WARM_UP + _RUNS):
        for name, session in sessions.items():  # in turns, so that other load on the machine hits all
            started = clock()
            session.run(frame)
            seconds[name].append(clock() - started)
    medians = {name: float(np.median(times[_WARM_UP:])) for name, times in seconds.items()}
    best = min(medians, key=lambda name: medians[name])
    return best if medians[best] * LEAST_SPEEDUP <= medians[VARIANT] else VARIANT
