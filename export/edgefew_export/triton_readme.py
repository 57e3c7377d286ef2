"""The README of a model repository for Triton Inference Server: what the models take, and a client that runs."""

from __future__ import annotations

from edgefew_runtime import AudioInput, Bundle, ImageInput, InputSpec

_README = """# {name}, for Triton Inference Server

Made by `edgefew triton` from the bundle `{bundle_id}`.
The model files are the bundle's.

```console
$ tritonserver --model-repository=.
```

| model | takes | gives |
|---|---|---|
| `embed` | `frames` {frames}, n up to {max_batch} | `embeddings` `[n, {dimension}]` |
| `enroll` | `embeddings`, `labels` int64 `[n]`, `weights` `[n]`, `sums` `[c, {dimension}]`, `counts` `[c]` | `new_sums`, `new_counts`, `accepted` bool `[n]` |
| `classify` | `embeddings`, `sums`, `counts`, `scale` `[1]`, `threshold` `[1]` | `probabilities` and `scores` `[n, c]`, `best` int64 `[n]`, `known` bool `[n]` |
| `recognise` | `frames`, `sums`, `counts`, `scale`, `threshold` | what `classify` gives |

What has no type is float32. `recognise` is `embed` and `classify` in one request.

- The server keeps no state: a client sends the sums and counts of its classes, and keeps what comes back. So one server
  serves many sites.
- Where `known` is false the answer is "unknown", whatever `best` says. Negatives ("this is not X") are not in
  `classify`.
- Requests to `embed` are joined only if their frames have the same {size}: send frames of one size.
  `max_batch_size` in `embed/config.pbtxt` says how many frames run together at most.
- `scale` and `threshold` have no dimension in the graph and are `[1]` here. The server's ONNX Runtime backend does so
  since its pull request 213, of September 2023: use a server of 2024 or newer.

```python
import numpy as np
import tritonclient.http as triton  # pip install 'tritonclient[http]'
from tritonclient.utils import np_to_triton_dtype

SCALE, THRESHOLD = np.array([{scale}], np.float32), np.array([{threshold}], np.float32)
client = triton.InferenceServerClient("localhost:8000")


def infer(model, **tensors):
    inputs = []
    for name, value in tensors.items():
        inputs.append(triton.InferInput(name, value.shape, np_to_triton_dtype(value.dtype)))
        inputs[-1].set_data_from_numpy(value)
    return client.infer(model, inputs)


def enroll(frames, label, sums, counts):
    n = len(frames)
    embeddings = infer("embed", frames=frames).as_numpy("embeddings")
    labels, weights = np.full(n, label, np.int64), np.ones(n, np.float32)  # weight -1 takes an example out again
    answer = infer("enroll", embeddings=embeddings, labels=labels, weights=weights, sums=sums, counts=counts)
    return answer.as_numpy("new_sums"), answer.as_numpy("new_counts")


def recognise(frames, sums, counts):
    answer = infer("recognise", frames=frames, sums=sums, counts=counts, scale=SCALE, threshold=THRESHOLD)
    return np.where(answer.as_numpy("known"), answer.as_numpy("best"), -1)  # -1 is unknown


# The state that this client keeps: room for {classes} classes.
sums, counts = np.zeros(({classes}, {dimension}), np.float32), np.zeros({classes}, np.float32)
```

{thresholds}
"""

_TABLE = """`THRESHOLD` is the least cosine of a known answer. The one above promises that of frames of things that are not enrolled
at most {rate:.4g} are called known, with up to {classes} classes. All that the bundle promises, for any number of examples:

| classes, up to | {rates} |
|---|{rules}
"""
_NO_TABLE = """The bundle promises no false-accept rate of {rate:g} or less, so the `THRESHOLD` above is one that nothing reaches.
Export the bundle with more `--data`, or find a threshold with frames of your own that are of no class.
"""

_NOTHING_KNOWN = 2.0
_ROUNDED = 5e-7
"""Added before a threshold is printed with six digits: what is printed must not be lower."""

_RATE, _CLASSES = 0.05, 20
"""What the client has where the bundle promises it."""


def triton_readme(bundle: Bundle, max_batch: int) -> str:
    """The README of the bundle's repository, with the bundle's own scale and thresholds."""
    manifest = bundle.manifest
    held: dict[tuple[float, int], float] = {}
    for point in manifest.operating_points:
        key = point.false_accept_rate, point.way
        held[key] = max(point.threshold, held.get(key, point.threshold))
    offered = [key for key in held if key[0] <= _RATE]
    # For as many classes as the example has, if there is one; then the largest rate, then the lowest threshold.
    rate, classes = max(offered, key=lambda key: (min(key[1], _CLASSES), key[0], -key[1]), default=(_RATE, 0))
    return _README.format(
        name=manifest.name,
        bundle_id=bundle.id,
        max_batch=max_batch,
        frames=_frames(manifest.input),
        size="height and width" if manifest.input.kind == "image" else "number of samples",
        dimension=manifest.dimension,
        scale=manifest.scale,
        threshold=held.get((rate, classes), _NOTHING_KNOWN),
        classes=classes or _CLASSES,
        thresholds=_thresholds(held, rate, classes),
    )


def _frames(spec: InputSpec) -> str:
    """What `embed` takes."""
    if isinstance(spec, ImageInput):
        return f"{spec.dtype} `[n, H, W, 3]`: {spec.color}, any height and width"
    if isinstance(spec, AudioInput):
        return f"{spec.dtype} `[n, samples]`: one channel at {spec.rate} Hz, any number of samples"
    return f"{spec.dtype} `[n, samples, {spec.channels}]`: windows of any number of samples"


def _thresholds(held: dict[tuple[float, int], float], rate: float, classes: int) -> str:
    """The table of thresholds by rate and number of classes; a sentence where the bundle has none for the example."""
    if not classes:
        return _NO_TABLE.format(rate=rate)
    rates = sorted({key[0] for key in held})
    head = _TABLE.format(
        rate=rate, classes=classes, rates=" | ".join(f"{r:.4g}" for r in rates), rules="---|" * len(rates)
    )
    rows = (
        f"| {way} | " + " | ".join(f"{held[r, way] + _ROUNDED:.6f}" if (r, way) in held else "" for r in rates) + " |\n"
        for way in sorted({key[1] for key in held})
    )
    return head + "".join(rows)
