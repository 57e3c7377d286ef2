"""The multilingual sentence encoder: a sum over tokens and their neighbourhoods, then a deep averaging network.

Yang et al., Multilingual Universal Sentence Encoder for Semantic Retrieval, 2019, section 2: the convolutional one, in
which neighbourhoods of 2, 3 and 5 tokens are seen.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

ORDERS = {2: 0, 3: 1, 5: 2}
"""For each length of a neighbourhood, how much of it lies before the token."""


class SentenceEncoder(nn.Module):
    """int64 [n, tokens], below 0 for padding → float32 [n, d].

    Args:
        tensors: `table` uint8 [v, e], whose row r means value · `scale`[r % k] + `low`[r % k]; `project` [e, 3 · b],
            `project_bias`; `norm`, `norm_bias` [3 · b]; for each order o `first_o`, `second_o` [o · b, b] and their
            `_bias`; `features`, `features_bias` [e + 3 · b]; `pool` [e + 3 · b, p], `pool_bias`; `dense_0` [p, h],
            `dense_1` [h, h], `skip_1` [p, h], `dense_2` [h, w], `skip_3` [h, d], `dense_3` [w, d].
        eps: added to variances.
    """

    table: torch.Tensor

    def __init__(self, tensors: Mapping[str, torch.Tensor], eps: float) -> None:
        super().__init__()
        self.eps = eps
        for name, tensor in tensors.items():
            is_kernel = name.startswith(("first", "second")) and not name.endswith("bias")
            self.register_buffer(name, _kernel(tensor) if is_kernel else tensor)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """A vector for each text; of nothing but padding, zeros."""
        there = (tokens >= 0).unsqueeze(2)
        known = tokens.clamp(0, len(self.table) - 1)
        seen = self._embedded(known)
        features = torch.where(
            there, self._norm(torch.cat([seen, *self._neighbourhoods(seen, there)], 2), "features"), 0.0
        )
        count = there.sum(1).clamp(min=1).float()
        pooled = (features.sum(1) @ self.get("pool") + count * self.get("pool_bias")) / count.sqrt()
        pooled = torch.where(there.any(1), pooled, 0.0)
        first = torch.relu(pooled @ self.get("dense_0"))
        second = torch.relu(pooled @ self.get("skip_1") + first @ self.get("dense_1"))
        third = torch.relu(second @ self.get("dense_2"))
        return torch.tanh(second @ self.get("skip_3") + third @ self.get("dense_3"))

    def get(self, name: str) -> torch.Tensor:
        """One of the tensors."""
        return self.get_buffer(name)

    def _embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        """float32 [n, tokens, e]: a quarter of the memory that a table of floats would take."""
        rows = self.table.index_select(0, tokens.reshape(-1)).float().reshape(*tokens.shape, self.table.shape[1])
        part = (tokens % len(self.get("scale"))).reshape(-1)
        scale, low = (self.get(name).index_select(0, part).reshape(*tokens.shape, 1) for name in ("scale", "low"))
        return rows * scale + low

    def _neighbourhoods(self, seen: torch.Tensor, there: torch.Tensor) -> list[torch.Tensor]:
        """For each order float32 [n, tokens, b]: two convolutions with what they are added to."""
        projected = self._norm(seen @ self.get("project") + self.get("project_bias"), "norm")
        parts = torch.where(there, projected, 0.0).transpose(1, 2).chunk(len(ORDERS), 1)
        inside = there.transpose(1, 2)
        found = []
        for (order, before), whole in zip(ORDERS.items(), parts, strict=True):
            part = whole
            for step in ("first", "second"):
                around = F.pad(part, (before, order - 1 - before))
                change = F.conv1d(around, self.get(f"{step}_{order}"), self.get(f"{step}_{order}_bias"))
                part = torch.where(inside, torch.relu(change) + part, 0.0)
            found.append(part.transpose(1, 2))
        return found

    def _norm(self, values: torch.Tensor, name: str) -> torch.Tensor:
        weight = self.get(name)
        return F.layer_norm(values, weight.shape, weight, self.get(f"{name}_bias"), self.eps)


def _kernel(product: torch.Tensor) -> torch.Tensor:
    """A product with neighbours side by side, [o · b, b], as a convolution's kernel [b, b, o]."""
    width = product.shape[1]
    return product.reshape(-1, width, width).permute(2, 1, 0).contiguous()
