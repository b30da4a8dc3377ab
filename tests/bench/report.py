"""What was measured, for people: on the terminal, in colour where there is one."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.bench.figure import Count, Figure, Findings, Phase, Samples
from tests.bench.machine import Machine

_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH = 60
_PLOTTED = "line to viewer"
_SMALL_MS = 5
"""Below it, hundredths count."""


def show(console: Console, machine: Machine, found: Sequence[Findings], missing: Sequence[str]) -> None:
    for line in machine.lines():
        console.print(Text(line, style="dim"))
    for line in missing:
        console.print(Text(line, style="yellow"))
    for each in found:
        _findings(console, each)


def _findings(console: Console, found: Findings) -> None:
    plotted = console.encoding.startswith("utf")
    console.print(_figures(found))
    console.print(_notes(found.figures))
    for figure in found.figures:
        if plotted and figure.name == _PLOTTED and figure.beside:
            _histogram(console, figure)
    console.print(_phases(found.phases, plotted=plotted))
    console.print(_counts(found.counts))


def _figures(found: Findings) -> Table:
    table = Table(
        title=f"on the engine {found.engine!r}: AIdeator beside what there is without it; ratios of medians",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in ("", "", "n", "min", "median", "p99", "max", "ratio"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for figure in found.figures:
        ratio = figure.ratio(figure.ours)
        cells = _cells(figure.ours, figure.unit)
        table.add_row(f"{figure.name}, {figure.unit}", "AIdeator", *cells, "" if ratio is None else f"{ratio:.1f}")
        for name, samples in figure.beside.items():
            table.add_row("", name, *_cells(samples, figure.unit), f"{figure.ratio(samples):.1f}", style="dim")
        if figure is not found.figures[-1]:
            table.add_section()
    return table


def _notes(figures: Sequence[Figure]) -> Table:
    notes = Table.grid(padding=(0, 2))
    notes.add_column(no_wrap=True)
    for figure in figures:
        notes.add_row(Text(figure.name, style="dim"), Text(figure.says, style="dim"))
    notes.add_row("")
    return notes


def _cells(samples: Samples, unit: str) -> list[Text]:
    values = [_value(each, unit) for each in (samples.low, samples.median, samples.p99, samples.high)]
    return [Text(str(len(samples.values))), Text(values[0]), Text(values[1], style="bold cyan"), *map(Text, values[2:])]


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if unit == "ms" and value >= _SMALL_MS else f"{value:.2f}"


def _histogram(console: Console, figure: Figure) -> None:
    """One row each, on one scale: how many lines took how long."""
    longest = max(samples.high for samples in (figure.ours, *figure.beside.values()))
    console.print(Text(f"{figure.name}, how many took how long", style="italic"))
    for name, samples in (("AIdeator", figure.ours), *figure.beside.items()):
        style = "cyan" if samples is figure.ours else "dim"
        buckets = [0] * _WIDTH
        for value in samples.values:
            buckets[min(_WIDTH - 1, int(value / longest * _WIDTH))] += 1
        highest = max(buckets)
        bars = "".join(_BARS[-(-count * (len(_BARS) - 1) // highest)] for count in buckets)
        console.print(Text(f"  {name:<12}│").append(bars, style=style).append("│"))
    console.print(Text(f"  {'':<12}0{f'{longest:.0f} {figure.unit}':>{_WIDTH + 1}}\n", style="dim"))


def _phases(phases: Sequence[Phase], *, plotted: bool) -> Table:
    table = Table(
        title="what a warm HTTP run's time goes to (3 agents, medians)", title_justify="left", box=SIMPLE_HEAD
    )
    for column in ("phase", "min", "median", "max", ""):
        table.add_column(column, justify="right" if column in {"min", "median", "max"} else "left")
    longest = max(phase.seconds.median for phase in phases)
    for phase in phases:
        bar = "█" * round(phase.seconds.median / longest * 26) if plotted else ""
        low, median, high = (f"{each:.2f} s" for each in (phase.seconds.low, phase.seconds.median, phase.seconds.high))
        table.add_row(phase.name, low, Text(median, style="bold cyan"), high, Text(bar, style="cyan"))
    return table


def _counts(counts: Sequence[Count]) -> Table:
    table = Table(title="counts", title_justify="left", show_header=False, box=SIMPLE_HEAD)
    for count in counts:
        table.add_row(count.name, count.text)
    return table
