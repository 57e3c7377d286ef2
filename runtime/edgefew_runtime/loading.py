"""A bundle's network, ready to use: optimised for this machine and tested on it, once where that can be remembered."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from .bundle import VARIANT, Bundle
from .errors import EdgeFewError
from .model_cache import ModelCache, cache_key
from .processor import accelerator_identity, processor_identity
from .session import DEFAULT_PROFILE, OrtSession, Session, runs_on_cpu, runtime_identity, write_optimized

AUTO = "auto"
"""In place of a variant's name: the fastest on this machine (`variant_choice`)."""


def load_embedder(
    bundle: Bundle,
    *,
    provider: str = "cpu",
    threads: int | None = None,
    profile: str = DEFAULT_PROFILE,
    variant: str = VARIANT,
    cache: Path | None = None,
    open_session: Callable[..., Session] = OrtSession,
    optimize: Callable[[bytes, Path], None] = write_optimized,
) -> Session:
    """A session of the bundle's embed graph that computes the golden vectors right on this machine.

    The first time on the CPU, the graph is optimised, the optimised file is tested, and kept if it passed. From then
    on it is loaded as it is. On other providers the graph is loaded as exported, and that it passed is remembered.
    Without a cache, the test runs each time.

    Args:
        bundle: the opened bundle.
        provider: "cpu", "cuda", "tensorrt" or ONNX Runtime's own name; never exchanged silently.
        threads: for one run; None leaves it to the profile.
        profile: "power" or "latency", see `session.PROFILES`.
        variant: which of the bundle's variants of the graph.
        cache: the folder to keep the optimised graph in (`model_cache.cache_folder`); None for none. What cannot be
            read from it or written to it is no error.
        open_session: makes a session, as `OrtSession` does.
        optimize: writes an optimised graph, as `session.write_optimized` does.

    Raises:
        BundleError: the graph cannot be loaded, or does not compute here what it should.
        ProviderError: the provider is not there.
    """
    bundle = bundle.for_variant(variant)

    def opened(model: bytes | Path, *, optimized: bool) -> Session:
        return open_session(model, provider=provider, threads=threads, profile=profile, optimized=optimized)

    def kept(folder: Path) -> Session | None:
        """The optimised graph, from the cache or made now; None where anything is in its way."""
        graphs = ModelCache(folder)
        key = embedder_key(bundle.id, variant, runtime_identity(), processor_identity())
        tested: Session | None = None
        # What is wrong here is not told: opened without a cache, the same graph works, or says what is wrong with it.
        with contextlib.suppress(OSError, EdgeFewError):
            with graphs.find(key) as graph:
                if graph is not None:
                    return opened(graph, optimized=True)
            with graphs.store(key) as file:
                optimize(bundle.model("embed", variant), file)
                tested = _tested(bundle, opened(file, optimized=True))
        return tested

    on_cpu = runs_on_cpu(provider)
    if cache is not None and on_cpu and (session := kept(cache)) is not None:
        return session
    session = opened(bundle.model("embed", variant), optimized=False)
    if cache is None or on_cpu:
        return _tested(bundle, session)
    notes = ModelCache(cache)
    key = passed_key(
        bundle.id, variant, session.provider, runtime_identity(), processor_identity() + accelerator_identity()
    )
    if not notes.remembers(key):
        _tested(bundle, session)
        with contextlib.suppress(OSError):
            notes.remember(key)
    return session


def embedder_key(bundle_id: str, variant: str, runtime: str, processor: str) -> str:
    """The key of an optimised embed graph that passed its test.

    The bundle's id stands for the graph's bytes and for the golden vectors.
    """
    return cache_key("embed", bundle_id, variant, runtime, processor)


def passed_key(bundle_id: str, variant: str, provider: str, runtime: str, machine: str) -> str:
    """The key under which it is remembered that an embed graph passed its test on a provider."""
    return cache_key("passed", bundle_id, variant, provider, runtime, machine)


def _tested(bundle: Bundle, session: Session) -> Session:
    from .selftest import check_golden  # costs start-up time that a program which finds a tested graph need not pay

    check_golden(bundle, session)
    return session
