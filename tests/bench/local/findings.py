"""What the rounds on the local engine say, as figures and counts."""

from collections.abc import Sequence

from tests.bench.commands import BURST_LINES
from tests.bench.figure import Count, Figure, Findings, Samples
from tests.bench.local import silent
from tests.bench.local.large import FILES
from tests.bench.local.lines import LINES
from tests.bench.local.ready import MANY, Ready
from tests.bench.local.rounds import Measured
from tests.bench.rounds import FEW, complete_of, cpu_of, delays_of, floods_of, overhead_of, phases_of

_TREES = f"{MANY} variations of a repository of {FILES} files"


def findings(measured: Measured) -> Findings:
    return Findings(
        engine="local",
        figures=[*_trees(measured), *_runs(measured), *_lines(measured), *_start(measured)],
        phases=phases_of(measured.few),
        counts=_counts(measured),
    )


def _trees(measured: Measured) -> list[Figure]:
    (usual, warm), *others = measured.warm.items()
    return [
        Figure(
            name=f"{MANY} ready, warm",
            unit="s",
            says=f"{_TREES}, by {usual}: until each sandbox's first process runs; git: the trees alone",
            ours=Samples([each.processes_s for each in warm]),
            beside={
                "git worktree": Samples(measured.worktrees),
                "git clone --shared": Samples(measured.shared_clones),
            },
        ),
        Figure(
            name=f"{MANY} started, warm",
            unit="s",
            says="the same until each harness, a Python, has printed `started`",
            ours=Samples([each.started_s for each in warm]),
        ),
        Figure(
            name=f"{MANY} ready, cold",
            unit="s",
            says="the same where the repository was never seen; git: one `git clone --depth 1`",
            ours=Samples([each.processes_s for each in measured.cold]),
            beside={"git clone": Samples(measured.shallow_clones)},
        ),
        *(
            Figure(
                name=f"{MANY} ready, by {means}",
                unit="s",
                says=f"the first figure, with trees made by {means}",
                ours=Samples([each.processes_s for each in rounds]),
            )
            for means, rounds in others
        ),
        *(
            Figure(
                name=f"{MANY} gone, by {means}",
                unit="s",
                says="from leaving all of them until no process and no file of them is left",
                ours=Samples([each.left_s for each in rounds]),
            )
            for means, rounds in measured.warm.items()
        ),
    ]


def _runs(measured: Measured) -> list[Figure]:
    return [
        Figure(
            name="HTTP run overhead",
            unit="s",
            says=f"a warm run of {FEW} agents, POST to `run_complete`, without their own time",
            ours=overhead_of(measured.few),
        ),
        Figure(
            name=f"{MANY} variations run",
            unit="s",
            says=f"POST until the {MANY}th `started` is seen",
            ours=Samples([run.of_kind("started")[-1].at - run.begun for run in measured.many]),
        ),
        Figure(
            name="line to viewer",
            unit="ms",
            says="from an agent's print to a viewer of the stream",
            ours=delays_of(measured.paced),
        ),
        Figure(
            name=f"{BURST_LINES} lines at once",
            unit="s",
            says="from the first one's print until that viewer has the last",
            ours=floods_of(measured.burst),
        ),
    ]


def _lines(measured: Measured) -> list[Figure]:
    return [
        Figure(
            name="CPU per line",
            unit="µs",
            says=f"of this process, which reads {LINES} lines at once; bare: drops the same bytes of the same pipe",
            ours=Samples([each.engine_us for each in measured.lines]),
            beside={"bare reader": Samples([each.bare_us for each in measured.lines])},
        ),
        Figure(
            name="engine's own CPU per line",
            unit="µs",
            says="the difference of the two, round by round",
            ours=Samples([each.engine_us - each.bare_us for each in measured.lines]),
        ),
        Figure(
            name="memory per variation",
            unit="MB",
            says=f"of the service, for each of {silent.MANY} silent ones beside {silent.FEW}",
            ours=Samples([each / 1e6 for each in measured.memory]),
        ),
    ]


def _start(measured: Measured) -> list[Figure]:
    return [
        Figure(
            name="demo serves",
            unit="s",
            says="from the start of `aideator demo` until it names its URL: imports, a new Postgres, the service",
            ours=Samples([each.serving_s for each in measured.starts]),
        ),
        Figure(
            name="demo at work",
            unit="s",
            says="the same until its third agent runs",
            ours=Samples([each.agents_s for each in measured.starts]),
        ),
    ]


def _counts(measured: Measured) -> list[Count]:
    warm = [each for rounds in measured.warm.values() for each in rounds]
    found = [_asked(f"{MANY} variations, warm", warm), _asked(f"{MANY} variations, cold", measured.cold)]
    found += [
        Count(name=f"trees by {means}", value=0, text=f"not measured: {why}") for means, why in measured.lacking.items()
    ]
    runs = [*measured.few, *measured.many, *measured.paced, *measured.burst]
    return [*found, complete_of(runs), *cpu_of(measured.burst)]


def _asked(name: str, rounds: Sequence[Ready]) -> Count:
    """What a server and the disk saw of `MANY` variations; where rounds differ, each number that there was."""
    connections = sorted({each.asked.connections for each in rounds})
    clones, checkouts = sorted({each.asked.clones for each in rounds}), sorted({each.checkouts for each in rounds})
    text = f"connections to upload-pack: {_or(connections)}; clones: {_or(clones)}; checkouts: {_or(checkouts)}"
    return Count(name=name, value=connections[-1], text=text)


def _or(numbers: Sequence[int]) -> str:
    return " or ".join(str(each) for each in numbers)
