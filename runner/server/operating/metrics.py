"""Counters in Prometheus' text format (0.0.4): few names, few labels, none that grows with what clients send."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One number: `kind` is "gauge" or "counter"; samples of one name stand side by side."""

    name: str
    kind: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


class Requests:
    """What was asked and how long it took, since the process began."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._buckets = [0] * (len(_BUCKETS_S) + 1)
        self._sum_s = 0.0
        self.in_flight = 0

    def add(self, method: str, route: str, status: int, seconds: float) -> None:
        self._counts[method if method in _METHODS else "OTHER", route, status] += 1
        self._buckets[bisect_left(_BUCKETS_S, seconds)] += 1
        self._sum_s += seconds

    def samples(self) -> Iterable[Sample]:
        yield Sample("runner_requests_in_flight", "gauge", "Requests that are being answered.", self.in_flight)
        for (method, route, status), count in sorted(self._counts.items()):
            labels = {"method": method, "route": route, "status": str(status)}
            yield Sample("runner_requests_total", "counter", "Requests that were answered.", count, labels)

    def histogram(self) -> str:
        name, lines, total = "runner_request_seconds", [], 0
        for bound, count in zip((*map(str, _BUCKETS_S), "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        head = f"# HELP {name} Seconds from a request's begin to the end of its answer.\n# TYPE {name} histogram\n"
        return head + "\n".join([*lines, f"{name}_sum {self._sum_s:.6f}", f"{name}_count {total}"]) + "\n"


def exposition(samples: Iterable[Sample]) -> str:
    lines: list[str] = []
    last = ""
    for sample in samples:
        if sample.name != last:
            lines += [f"# HELP {sample.name} {sample.help}", f"# TYPE {sample.name} {sample.kind}"]
            last = sample.name
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
        lines.append(
            f"{sample.name}{{{labels}}} {sample.value:.15g}" if labels else f"{sample.name} {sample.value:.15g}"
        )
    return "\n".join([*lines, ""])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
