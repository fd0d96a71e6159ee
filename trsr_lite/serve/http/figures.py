"""What `/metrics` tells Prometheus: how many requests, how long they took, what waits.

Invariant: labels are paths that there are and numbers of statuses, so a client cannot make series grow; no figure holds
a name or a text of a user.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from trsr_lite.serve.service import Service

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class Figures:
    """Counts of one server."""

    def __init__(self, service: Service) -> None:
        self._registry = registry = CollectorRegistry()
        self._service = service
        self._requests = Counter("trsr_lite_requests", "Answered requests.", ("path", "status"), registry=registry)
        self._gone = Counter("trsr_lite_gone", "Requests whose client went away.", ("path",), registry=registry)
        self._seconds = Histogram(
            "trsr_lite_request_seconds",
            "Seconds from request to answer.",
            ("path",),
            buckets=SECONDS,
            registry=registry,
        )
        self._tokens = Counter("trsr_lite_tokens", "Tokens read and generated.", ("kind",), registry=registry)
        self._waiting = Gauge("trsr_lite_waiting", "Requests that wait for their turn.", registry=registry)
        self._running = Gauge("trsr_lite_running", "Requests that are worked on.", registry=registry)
        ProcessCollector(registry=registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def went(self, path: str) -> None:
        """A client went away before it was answered."""
        self._gone.labels(path).inc()

    def cost(self, stats: dict[str, int]) -> None:
        """What a result cost."""
        self._tokens.labels("read").inc(stats.get("prefix_tokens", 0) + stats.get("candidate_tokens", 0))
        self._tokens.labels("generated").inc(stats.get("generated_tokens", 0))

    def response(self) -> Response:
        """All of it, as Prometheus reads it."""
        waiting, running = self._service.queue.state()
        self._waiting.set(len(waiting))
        self._running.set(int(running is not None))
        return Response(generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST})
