"""One line of a result: ours, the peer's, their ratio, the goal, and whether it was met."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from bench.kit.rounds import Pair


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """`value` is held against `most` or `least`; a figure with neither informs only.

    spread  smallest and largest value of the rounds
    """

    what: str
    ours: str
    peer: str
    value: float
    unit: str = "x"
    most: float | None = None
    least: float | None = None
    spread: tuple[float, float] | None = None
    note: str = ""

    @property
    def met(self) -> bool:
        above = self.most is not None and self.value > self.most
        below = self.least is not None and self.value < self.least
        return not above and not below

    def __str__(self) -> str:
        parts = [f"{self.what}: ours {self.ours}", f"peer {self.peer}", f"{self._value()}{self._goal()}"]
        return ", ".join(parts) + (f" ({self.note})" if self.note else "")

    def _value(self) -> str:
        spread = f" [{self.spread[0]:.2f}..{self.spread[1]:.2f}]" if self.spread else ""
        return f"{self.value:.2f}{self.unit}{spread}"

    def _goal(self) -> str:
        if self.most is None and self.least is None:
            return ""
        goal = f"at most {self.most:g}" if self.most is not None else f"at least {self.least:g}"
        return f", goal {goal}{self.unit}: {'ok' if self.met else 'MISSED'}"


def compared(
    what: str,
    pairs: list[Pair],
    *,
    most: float | None = None,
    least: float | None = None,
    scale: float = 1.0,
    unit: str = "s",
    speed: bool = False,
    note: str = "",
) -> Figure:
    """The figure of measured times: ours over the peer's, or with `speed` how many times as fast we are.

    scale, unit  for showing times: 1000 and "ms"
    """
    ratios = [pair.peer / pair.ours if speed else pair.ours / pair.peer for pair in pairs]
    return Figure(
        what=what,
        ours=_shown([pair.ours for pair in pairs], scale, unit),
        peer=_shown([pair.peer for pair in pairs], scale, unit),
        value=median(ratios),
        most=most,
        least=least,
        spread=(min(ratios), max(ratios)) if len(ratios) > 1 else None,
        note=note,
    )


def _shown(times: list[float], scale: float, unit: str) -> str:
    return f"{median(times) * scale:.3g} {unit}"
