"""Counts for Prometheus, in its text format."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from starlette.types import Scope

_EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

ROUTE = "edgefew.route"
"""Where in a request's scope its method and its route's pattern stand, once it is known."""


class Metrics:
    """Requests by route and status, and how long they took."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: Counter[str] = Counter()
        self._under: Counter[tuple[str, float]] = Counter()
        self._lock = threading.Lock()

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """One request that is answered; by its route, so that what clients make up adds no lines."""
        route = scope.get(ROUTE, "none")
        with self._lock:
            self._requests[route, status] += 1
            self._seconds[route] += seconds  # type: ignore[assignment]
            for edge in _EDGES:
                self._under[route, edge] += seconds <= edge

    def text(self, gauges: Mapping[str, float]) -> str:
        """All of it.

        Args:
            gauges: further figures by name, as they are now.
        """
        with self._lock:
            requests, seconds, under = dict(self._requests), dict(self._seconds), dict(self._under)
        lines = ["# HELP edgefew_requests_total Requests answered.", "# TYPE edgefew_requests_total counter"]
        for (route, status), number in sorted(requests.items()):
            lines.append(f'edgefew_requests_total{{route="{route}",status="{status}"}} {number}')
        lines += ["# HELP edgefew_request_seconds Time to the answer.", "# TYPE edgefew_request_seconds histogram"]
        for route in sorted(seconds):
            total = sum(number for (other, _), number in requests.items() if other == route)
            for edge in _EDGES:
                lines.append(f'edgefew_request_seconds_bucket{{route="{route}",le="{edge}"}} {under[route, edge]}')
            lines.append(f'edgefew_request_seconds_bucket{{route="{route}",le="+Inf"}} {total}')
            lines.append(f'edgefew_request_seconds_sum{{route="{route}"}} {seconds[route]:.6f}')
            lines.append(f'edgefew_request_seconds_count{{route="{route}"}} {total}')
        for name, value in gauges.items():
            lines += [f"# TYPE edgefew_{name} gauge", f"edgefew_{name} {value:g}"]
        return "\n".join([*lines, ""])
