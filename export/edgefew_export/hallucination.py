"""Examples of a class made up from one or two: a conditional Wasserstein GAN over embeddings.

f-CLSWGAN: Xian, Lorenz, Schiele, Akata, Feature Generating Networks for Zero-Shot Learning, CVPR 2018, with the class's
prototype in the place of its attributes. Gradient penalty: Gulrajani et al., Improved Training of Wasserstein GANs,
NeurIPS 2017. Whether it helps is measured (`evaluate_hallucination`), and the device uses it only where it does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from edgefew_runtime import DataError, ExportError, head
from edgefew_runtime import hallucination as device
from edgefew_runtime.hallucination import completed
from edgefew_runtime.session import Session
from torch import nn
from torch.nn import functional as F

from .episodes import EpisodeSampler
from .evaluation import Evaluation
from .proof import BATCH_SIZES, MAX_ERROR

Labels = npt.NDArray[np.int64]
Complete = Callable[[head.Embeddings, int], head.Embeddings]
"""Prototypes, float32 [c, d] unit rows, and of how many examples each is → others, the same."""

SHOTS = (1, 2, 5)
"""Where the gain is measured."""

EPISODES = 1000
SAME = 1 - 1e-5
"""The cosine from which two frames are taken for the same one."""

NOISE = 16
"""z, values of noise an embedding is made from."""

SAMPLES = 16
"""k, embeddings that a device generates for a class."""

WEIGHTS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""As how many examples the generated ones may count; one is chosen on classes that the generator was not fitted on."""

HIDDEN = 256
STEPS = 400
CRITIC_STEPS = 3
ROWS = 128
"""Embeddings in a step, about."""

RATE = 5e-4
PENALTY = 10.0
"""λ of the gradient penalty, as both papers have it."""

CLASSIFICATION = 0.1
"""β of equation 6: 0.01 in the paper, for features some ten times as long as our unit vectors. With 0 or 0.01 here the
generator gives one embedding whatever the noise; 0.1 and 1 are alike (chosen on base classes of pictograms)."""


class Generator(nn.Module):
    """Prototypes [c, d] and noise [c, k, z] → unit embeddings [c, k, d]: the prototype, and what it is moved by."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.of_prototype = nn.Linear(dimension, HIDDEN)
        self.of_noise = nn.Linear(NOISE, HIDDEN, bias=False)
        self.out = nn.Linear(HIDDEN, dimension)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, prototypes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Float32, as the class says."""
        hidden = F.leaky_relu(self.of_prototype(prototypes)[:, None] + self.of_noise(noise), 0.2)
        return F.normalize(prototypes[:, None] + self.out(hidden), dim=-1, eps=head.SHORTEST)


class _Critic(nn.Module):
    """Embeddings [c, k, d] and their prototypes [c, d] → how real each looks for its class, [c, k]."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.of_embedding = nn.Linear(dimension, HIDDEN)
        self.of_prototype = nn.Linear(dimension, HIDDEN, bias=False)
        self.out = nn.Linear(HIDDEN, 1)

    def forward(self, embeddings: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
        hidden = F.leaky_relu(self.of_embedding(embeddings) + self.of_prototype(prototypes)[:, None], 0.2)
        return torch.as_tensor(self.out(hidden)[..., 0])


@dataclass(frozen=True)
class Hallucination:
    """A fitted generator and how its embeddings are used.

    Attributes:
        generator: in evaluation mode.
        noise: float32 [k, z], the same for every class, so that the same examples always give the same answer.
        weight: as how many examples the generated ones count together.
        classes: how many it was fitted on, and chosen on.
    """

    generator: Generator
    noise: npt.NDArray[np.float32]
    weight: float
    classes: tuple[int, int]

    def complete(self, prototypes: head.Embeddings, shot: int) -> head.Embeddings:
        """The prototypes with what is generated for them: float32 [c, d], unit rows."""
        return completed(prototypes, self.generate(prototypes), shot, self.weight)

    def record(self, shots: tuple[int, ...] = ()) -> device.Hallucination:
        """As the manifest keeps it, to be used at these shots."""
        rows = tuple(tuple(round(float(value), 3) for value in row) for row in self.noise)
        return device.Hallucination(shots, self.weight, rows)

    def generate(self, prototypes: head.Embeddings) -> head.Embeddings:
        """Float32 [c, k, d], from prototypes [c, d] and the fixed noise."""
        noise = np.repeat(self.noise[None], len(prototypes), axis=0)
        with torch.inference_mode():
            return np.asarray(self.generator(torch.from_numpy(prototypes), torch.from_numpy(noise)).numpy())


def fit_hallucination(
    embeddings: head.Embeddings, labels: Labels, sources: Labels | None, seed: int = 0
) -> Hallucination:
    """A generator fitted on two thirds of the classes; as how many examples it counts is chosen on the others.

    Args:
        embeddings: float32 [n, d], unit vectors.
        labels: int64 [n], from 0 without gaps.
        sources: int64 [n] or None; a prototype and what is to be generated from it never share one.
        seed: decides everything that chance does.

    Raises:
        DataError: the classes, or their examples, are too few.
    """
    count = int(labels.max()) + 1
    if count < 6:
        raise DataError(f"{count} classes were given to fit a generator on; at least 6 are needed. Give more.")
    chosen_on = np.arange(count)[2::3]
    fitted_on = np.setdiff1d(np.arange(count), chosen_on)
    samplers = _samplers(labels, sources, fitted_on, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = _trained(torch.from_numpy(embeddings), labels, fitted_on, samplers)
    # Rounded, because the manifest keeps it as text.
    noise = np.random.default_rng(seed).normal(size=(SAMPLES, NOISE)).round(3).astype(np.float32)
    found = {}
    for weight in WEIGHTS:
        tried = Hallucination(generator, noise, weight, (len(fitted_on), len(chosen_on)))
        sampler = EpisodeSampler(
            labels, sources=sources, classes=chosen_on, way=min(5, len(chosen_on)), shot=1, query=1, seed=seed
        )
        found[weight] = (evaluate_hallucination(embeddings, sampler, tried.complete, 600)["gain"], tried)
    return max(found.values(), key=lambda pair: pair[0])[1]


def _samplers(labels: Labels, sources: Labels | None, classes: Labels, seed: int) -> list[EpisodeSampler]:
    """Episodes of one and, where there are enough examples, of two shots, with about `ROWS` queries."""
    way, found = min(len(classes), ROWS), []
    for shot in (1, 2):
        for query in range(ROWS // way, 0, -1):
            with contextlib.suppress(DataError):
                found.append(
                    EpisodeSampler(labels, sources=sources, classes=classes, way=way, shot=shot, query=query, seed=seed)
                )
                break
    if not found:
        raise DataError(
            "The classes to fit a generator on allow no episode: each needs 2 examples, of different sources where a "
            "pattern tells them. Give more."
        )
    return found


def _trained(embeddings: torch.Tensor, labels: Labels, classes: Labels, samplers: list[EpisodeSampler]) -> Generator:
    dimension = embeddings.shape[1]
    place = torch.from_numpy(np.searchsorted(classes, labels))
    within = torch.from_numpy(np.isin(labels, classes))
    classifier = _classifier(embeddings[within], place[within], len(classes))
    generator, critic = Generator(dimension), _Critic(dimension)
    of_generator, of_critic = (
        torch.optim.Adam(part.parameters(), lr=RATE, betas=(0.5, 0.9)) for part in (generator, critic)
    )
    for step in range(STEPS * CRITIC_STEPS):
        episode = samplers[step % len(samplers)].episode(step)
        prototypes = F.normalize(embeddings[episode.support].mean(dim=1), dim=-1)
        real = embeddings[episode.query]
        made = generator(prototypes, torch.randn(*real.shape[:2], NOISE))
        fake = made.detach()
        loss = (critic(fake, prototypes) - critic(real, prototypes)).mean()
        loss = loss + PENALTY * _penalty(critic, real, fake, prototypes)
        of_critic.zero_grad()
        loss.backward()
        of_critic.step()
        if step % CRITIC_STEPS == CRITIC_STEPS - 1:
            targets = place[torch.from_numpy(episode.query)]
            told = F.cross_entropy(classifier(made).flatten(0, 1), targets.flatten())
            of_generator.zero_grad()
            (CLASSIFICATION * told - critic(made, prototypes).mean()).backward()
            of_generator.step()
    return generator.eval()


def _penalty(critic: _Critic, real: torch.Tensor, fake: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """How far the critic's slope between real and generated is from 1 (Gulrajani et al., equation 3)."""
    share = torch.rand(*real.shape[:2], 1)
    between = (share * real + (1 - share) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between, prototypes).sum(), between, create_graph=True)
    return torch.as_tensor(((slope.norm(dim=-1) - 1) ** 2).mean())


def _classifier(embeddings: torch.Tensor, places: torch.Tensor, classes: int) -> nn.Linear:
    """A softmax classifier of the real embeddings, frozen: what generated ones must be recognised by (equation 5)."""
    classifier = nn.Linear(embeddings.shape[1], classes)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(classifier(embeddings), places).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return classifier.requires_grad_(False)


def evaluate_hallucination(
    embeddings: head.Embeddings, sampler: EpisodeSampler, complete: Complete, episodes: int = EPISODES
) -> dict[str, Any]:
    """Accuracy of the nearest prototype as it is and completed, over the same episodes, and the paired gain."""
    right = np.empty((2, episodes))
    for number in range(episodes):
        episode = sampler.episode(number)
        prototypes = head.unit(
            head.to_grid(embeddings[episode.support.ravel()]).reshape(sampler.way, sampler.shot, -1).sum(axis=1)
        )
        queries = embeddings[episode.query.ravel()]
        for side, rows in enumerate((prototypes, complete(prototypes, sampler.shot))):
            best = head.cosine_scores(queries, rows).argmax(axis=1).reshape(sampler.way, -1)
            right[side, number] = (best == np.arange(sampler.way)[:, None]).mean()
    return paired(right, sampler)


def paired(right: npt.NDArray[np.float64], sampler: EpisodeSampler) -> dict[str, Any]:
    """Two rows of accuracies over episodes, float64 [2, episodes], as a report has them; shares, 95 % intervals."""
    means, gain = right.mean(axis=1), right[1] - right[0]
    half = 1.96 / np.sqrt(right.shape[1])
    without, after = (
        Evaluation(
            float(mean),
            float(half * side.std(ddof=1)),
            sampler.way,
            sampler.shot,
            sampler.query,
            len(side),
            sampler.seed,
        ).to_dict()
        for mean, side in zip(means, right, strict=True)
    )
    return {"without": without, "with": after, "gain": float(gain.mean()), "gain_ci95": float(half * gain.std(ddof=1))}


def left_out(embeddings: head.Embeddings, labels: Labels, proof: head.Embeddings) -> Labels:
    """The classes of a folder, int64 [k], that hold a frame to prove on: nothing may be fitted on those.

    A checkpoint's held-out classes are classes of its training folder, and come with their frames alone.

    Args:
        embeddings: float32 [n, d], of the folder.
        labels: int64 [n].
        proof: float32 [m, d], by the same network.
    """
    same = [(embeddings[i : i + 1024] @ proof.T).max(axis=1) > SAME for i in range(0, len(embeddings), 1024)]
    return np.unique(labels[np.concatenate(same)])


def compare_generated(
    fitted: Hallucination, record: device.Hallucination, session: Session, prototypes: head.Embeddings
) -> float:
    """The largest difference of a component between what the graph and PyTorch generate, for 1, 2 and 7 classes.

    Raises:
        ExportError: it is over `MAX_ERROR`.
    """
    worst = 0.0
    for count in BATCH_SIZES:
        chosen = np.resize(prototypes, (count, prototypes.shape[1]))
        (ours,) = session.run(record.inputs(chosen))
        worst = max(worst, float(np.abs(ours - fitted.generate(chosen)).max()))
    if not worst <= MAX_ERROR:
        raise ExportError(
            f"The graph hallucinate differs from PyTorch's by {worst:.1e} (at most {MAX_ERROR:.0e} allowed)."
        )
    return worst


def gains(
    embeddings: head.Embeddings, labels: Labels, sources: Labels | None, way: int, complete: Complete, seed: int
) -> dict[str, Any]:
    """By shots, as text: accuracy without and with generated examples; as far as there are enough examples."""
    found = {}
    for shot in SHOTS:
        try:
            sampler = EpisodeSampler(labels, sources=sources, way=way, shot=shot, query=1, seed=seed, checked=EPISODES)
        except DataError:
            break
        found[str(shot)] = evaluate_hallucination(embeddings, sampler, complete)
    return found
