"""What was measured: samples of ours beside those of what there is without us, and what counts of them."""

import math
import statistics
from typing import Any

from msgspec import Struct

_ENOUGH_FOR_P99 = 100


class Samples(Struct, frozen=True):
    """What one side took, once a round, or once a line."""

    values: list[float]

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def p99(self) -> float | None:
        """None where the samples are too few to have one."""
        if len(self.values) < _ENOUGH_FOR_P99:
            return None
        return sorted(self.values)[math.ceil(0.99 * len(self.values)) - 1]

    @property
    def high(self) -> float:
        return max(self.values)

    def as_json(self) -> dict[str, Any]:
        known = {"n": len(self.values), "min": self.low, "median": self.median, "p99": self.p99, "max": self.high}
        return {**known, "samples": self.values}


class Figure(Struct, frozen=True, kw_only=True):
    """Some lines of the table: ours, and the same with nothing of ours, in the same rounds."""

    name: str
    unit: str
    says: str
    """What was done, in a sentence for people."""
    ours: Samples
    beside: dict[str, Samples] = {}
    """By what it is, in a word or two; ratios are to the first. None where there is nothing like it without us."""

    def ratio(self, samples: Samples) -> float | None:
        """Of the medians."""
        return next((samples.median / first.median for first in self.beside.values()), None)

    def as_json(self) -> dict[str, Any]:
        named = {"name": self.name, "unit": self.unit, "says": self.says, "ratio": self.ratio(self.ours)}
        beside = {f"bare_{name.replace(' ', '_')}": samples.as_json() for name, samples in self.beside.items()}
        return {**named, "aideator": self.ours.as_json(), **beside}


class Count(Struct, frozen=True, kw_only=True):
    """What does not depend on the clock, or hardly; `text` is all of it for people, `value` the number in it."""

    name: str
    value: float
    text: str


class Phase(Struct, frozen=True):
    """A part of a warm run over HTTP, in seconds."""

    name: str
    seconds: Samples

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "unit": "s", **self.seconds.as_json()}


class Findings(Struct, frozen=True, kw_only=True):
    """All that was found on one engine."""

    engine: str
    figures: list[Figure]
    phases: list[Phase]
    counts: list[Count]

    def as_json(self) -> dict[str, Any]:
        figures, phases = ([each.as_json() for each in some] for some in (self.figures, self.phases))
        return {"engine": self.engine, "figures": figures, "phases": phases, "counts": self.counts}
