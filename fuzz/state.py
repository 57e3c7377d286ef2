"""Bytes as a host's state file."""

from __future__ import annotations

from pathlib import Path

import atheris
import campaign

with atheris.instrument_imports(include=campaign.INSTRUMENTED):
    import seeds
    from edgefew_runtime import Gallery
    from edgefew_runtime.host_state import HostState


def target(data: bytes, _: Path) -> None:
    """A state that is read is the same when it was written and read again, and makes a gallery that is whole."""
    state = HostState.from_bytes(data)
    written = state.to_bytes()
    if HostState.from_bytes(written).to_bytes() != written:
        raise AssertionError("the state changes when it is written and read again")
    with Gallery(None, state.bundle_id, state.dimension) as gallery:
        state.enroll_into(gallery)
        if problems := gallery.problems():
            raise AssertionError(f"a gallery that is not whole: {problems}")


if __name__ == "__main__":
    campaign.run(target, [seeds.state()])
