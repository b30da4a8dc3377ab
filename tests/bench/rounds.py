"""The measurements, round by round: each figure's baseline right before it, so that both meet the same machine."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from msgspec import Struct, field

from tests.bench.bare import BareRun, Printed, run_bare
from tests.bench.commands import BURST, BURST_LINES, PACED, PACED_LINES, SLEEP, SLEEP_S, printed_at
from tests.bench.errors import BenchError
from tests.bench.figure import Count, Figure, Findings, Phase, Samples
from tests.bench.relay import AGENTS, FLAT_OUT_DELTAS, PACE_S, Streams, flat_out, paced, relayed
from tests.bench.served import Served
from tests.bench.terminal import Call, call_summary
from tests.bench.watched import Watched, watch_run

FEW, MANY = 3, 8

Announce = Callable[[str], AbstractContextManager[Any]]
"""Says what is being measured, for as long as the block lasts."""


class Measured(Struct):
    """Everything that the rounds brought."""

    bare_few: list[BareRun] = field(default_factory=list[BareRun])
    few: list[Watched] = field(default_factory=list[Watched])
    calls: list[Call] = field(default_factory=list[Call])
    bare_many: list[BareRun] = field(default_factory=list[BareRun])
    many: list[Watched] = field(default_factory=list[Watched])
    bare_paced: list[BareRun] = field(default_factory=list[BareRun])
    paced: list[Watched] = field(default_factory=list[Watched])
    bare_burst: list[BareRun] = field(default_factory=list[BareRun])
    burst: list[Watched] = field(default_factory=list[Watched])
    direct_paced: list[Streams] = field(default_factory=list[Streams])
    relayed_paced: list[Streams] = field(default_factory=list[Streams])
    direct_flat_out: list[Streams] = field(default_factory=list[Streams])
    relayed_flat_out: list[Streams] = field(default_factory=list[Streams])


async def warm_up(environ: Mapping[str, str], service: Served, announce: Announce) -> None:
    """Have the image, the workspace and the module where a second run finds them."""
    with announce("warming up: the bare engine"):
        await run_bare(environ, SLEEP, execs=1, lines=1)
    with announce("warming up: the service (the first run on an engine takes a minute or two)"):
        await watch_run(service, SLEEP, variations=1)
    with announce("warming up: dagger call (the first one on an engine takes a minute or two)"):
        await call_summary(environ, service.sample, variations=1)


async def measure(environ: Mapping[str, str], service: Served, measured: Measured, announce: Announce) -> None:
    """Add a round to `measured`."""
    with announce(f"{FEW} agents: the bare engine"):
        measured.bare_few.append(await run_bare(environ, SLEEP, execs=FEW, lines=FEW))
    with announce(f"{FEW} agents: HTTP"):
        measured.few.append(await watch_run(service, SLEEP, variations=FEW))
    with announce(f"{FEW} agents: dagger call"):
        measured.calls.append(await call_summary(environ, service.sample, variations=FEW))
    with announce(f"{MANY} agents: the bare engine"):
        measured.bare_many.append(await run_bare(environ, SLEEP, execs=MANY, lines=MANY))
    with announce(f"{MANY} agents: HTTP"):
        measured.many.append(await watch_run(service, SLEEP, variations=MANY))
    with announce("live lines: the bare engine"):
        measured.bare_paced.append(await run_bare(environ, PACED, execs=1, lines=PACED_LINES))
    with announce("live lines: HTTP"):
        measured.paced.append(await watch_run(service, PACED, variations=1))
    with announce(f"{BURST_LINES} lines at once: the bare engine"):
        measured.bare_burst.append(await run_bare(environ, BURST, execs=1, lines=BURST_LINES))
    with announce(f"{BURST_LINES} lines at once: HTTP"):
        measured.burst.append(await watch_run(service, BURST, variations=1))
    with announce(f"{AGENTS} models' streams: from the provider, and through a gateway"):
        async with relayed() as way:
            measured.direct_paced.append(await paced(way.provider))
            measured.relayed_paced.append(await paced(way.gateway))
            measured.direct_flat_out.append(await flat_out(way.provider))
            measured.relayed_flat_out.append(await flat_out(way.gateway))


def findings(measured: Measured) -> Findings:
    return Findings(
        engine="dagger", figures=_figures(measured), phases=phases_of(measured.few), counts=_counts(measured)
    )


def _figures(measured: Measured) -> list[Figure]:
    bare_overheads = Samples([run.seconds - SLEEP_S for run in measured.bare_few])
    return [
        Figure(
            name="dagger call overhead",
            unit="s",
            says=f"a warm `dagger call … summary` of {FEW} agents, start to exit, without their own time",
            ours=Samples([call.seconds - call.agents_s for call in measured.calls]),
            beside={"engine": bare_overheads},
        ),
        Figure(
            name="HTTP run overhead",
            unit="s",
            says=f"a warm run of {FEW} agents, POST to `run_complete`, without their own time",
            ours=overhead_of(measured.few),
            beside={"engine": bare_overheads},
        ),
        Figure(
            name=f"{MANY} variations run",
            unit="s",
            says=f"POST until the {MANY}th `started` is seen; bare: until the {MANY}th container's first line",
            ours=Samples([run.of_kind("started")[-1].at - run.begun for run in measured.many]),
            beside={"engine": Samples([run.lines[-1].at - run.begun for run in measured.bare_many])},
        ),
        Figure(
            name="line to viewer",
            unit="ms",
            says="from an agent's print to a viewer of the stream; bare: to a reader of the engine's log",
            ours=delays_of(measured.paced),
            beside={"engine": Samples([delay * 1000 for run in measured.bare_paced for delay in _delays(run.lines)])},
        ),
        Figure(
            name=f"{BURST_LINES} lines at once",
            unit="s",
            says="from the first one's print until the last is seen in the same two places",
            ours=floods_of(measured.burst),
            beside={"engine": Samples([_flood(run.lines) for run in measured.bare_burst])},
        ),
        Figure(
            name="model's delta to agent",
            unit="ms",
            says=f"{AGENTS} agents stream, a delta every {PACE_S * 1000:.0f} ms: through the gateway, and without it",
            ours=Samples([delay * 1000 for streams in measured.relayed_paced for delay in streams.delays]),
            beside={"direct": Samples([delay * 1000 for streams in measured.direct_paced for delay in streams.delays])},
        ),
        Figure(
            name=f"{AGENTS * FLAT_OUT_DELTAS} deltas",
            unit="s",
            says=f"{AGENTS} of our agents read, by the SDK, as fast as they can: the same two ways",
            ours=Samples([streams.seconds for streams in measured.relayed_flat_out]),
            beside={"direct": Samples([streams.seconds for streams in measured.direct_flat_out])},
        ),
    ]


def overhead_of(runs: Sequence[Watched]) -> Samples:
    """Seconds that runs took besides their agents' own."""
    return Samples([run.seconds - run.agents_s for run in runs])


def delays_of(runs: Sequence[Watched]) -> Samples:
    """Milliseconds from a line's print to its viewer."""
    return Samples([delay * 1000 for run in runs for delay in _delays(_seen_lines(run))])


def floods_of(runs: Sequence[Watched]) -> Samples:
    """Seconds from the first line's print until its viewer had the last."""
    return Samples([_flood(_seen_lines(run)) for run in runs])


def _seen_lines(run: Watched) -> list[Printed]:
    return [Printed(seen.event["text"], seen.at, seen.wall) for seen in run.of_kind("output")]


def _delays(lines: Sequence[Printed]) -> list[float]:
    """Seconds from each line's print to its receipt."""
    delays = [line.wall - printed_at(line.text) for line in lines]
    if min(delays) < 0:
        raise BenchError("the engine's containers have another clock than this machine: latency cannot be measured")
    return delays


def _flood(lines: Sequence[Printed]) -> float:
    return lines[-1].wall - printed_at(lines[0].text)


def phases_of(runs: Sequence[Watched]) -> list[Phase]:
    """What a warm run of a few agents over HTTP consists of."""
    rounds = [run.phases() for run in runs]
    return [Phase(name, Samples([each[name] for each in rounds])) for name in rounds[0]]


def _counts(measured: Measured) -> list[Count]:
    again = Samples([call.again_s for call in measured.calls])
    found = [
        complete_of([*measured.few, *measured.many, *measured.paced, *measured.burst]),
        _segments("segments per 1000 lines, paced", measured.paced, PACED_LINES),
        _segments("segments per 1000 lines, at once", measured.burst, BURST_LINES),
        Count(
            name="the same run id again",
            value=again.median,
            text=f"{again.median:.1f} s for `dagger call … report`, its agents not run again",
        ),
    ]
    return [*found, *cpu_of(measured.burst)]


def complete_of(runs: Sequence[Watched]) -> Count:
    """How many of the runs' logs lack nothing."""
    whole, events = sum(run.is_complete for run in runs), sum(len(run.frames) for run in runs)
    found = f"{events} events, none missing, none twice, in order" if whole == len(runs) else "EVENTS ARE MISSING"
    return Count(name="logs complete", value=whole / len(runs), text=f"{whole} of {len(runs)} runs, {found}")


def cpu_of(runs: Sequence[Watched]) -> list[Count]:
    """What the service took of the processor for lines that came at once; nothing where that cannot be known."""
    cpu = [run.cpu_s for run in runs if run.cpu_s is not None]
    if not cpu:
        return []
    each = Samples([seconds / BURST_LINES * 1e6 for seconds in cpu]).median
    text = f"{each:.0f} µs of the service's process, its start of the run included"
    return [Count(name="CPU per line, at once", value=each, text=text)]


def _segments(name: str, runs: list[Watched], lines: int) -> Count:
    each = Samples([run.segments / lines * 1000 for run in runs]).median
    return Count(name=name, value=each, text=f"{each:.0f} rows in Postgres")
