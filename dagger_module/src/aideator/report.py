"""What a run reports of its variations, for people and for programs."""

from typing import TypedDict


class Row(TypedDict, total=False):
    """One variation. Of a crashed one there may be neither seconds nor a patch."""

    index: int
    outcome: str
    exit: int
    seconds: float
    patch_bytes: int
    usage: dict[str, float | None]
    """What its model calls took: calls, tokens by kind, `cost_usd`; null where a price is unknown."""
    reason: str


class Report(TypedDict):
    """A run; its variations in their order."""

    run_id: str
    commit: str
    variations: list[Row]


def markdown(report: Report) -> str:
    """The report as a Markdown table."""
    lines = [
        f"Run `{report['run_id']}` at `{report['commit'] or 'the directory as given'}`",
        "",
        "| variation | outcome | exit | seconds | patch | calls | tokens in | out | cost |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    return "\n".join([*lines, *map(_line, report["variations"])]) + "\n"


def _line(row: Row) -> str:
    seconds = f"{row['seconds']:.1f}" if "seconds" in row else "-"
    size = f"{row['patch_bytes']} bytes" if "patch_bytes" in row else row.get("reason", "-")
    ended = f"| {row.get('index')} | {row.get('outcome')} | {row.get('exit')} | {seconds} | {size} "
    return ended + _spent(row.get("usage") or {})


def _spent(usage: dict[str, float | None]) -> str:
    """The columns on model calls; dashes where there were none."""
    if not usage.get("calls"):
        return "| - | - | - | - |"
    read = sum(usage.get(name) or 0 for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens"))
    cost = "unknown" if (usd := usage.get("cost_usd")) is None else f"${usd:.4f}"
    return f"| {usage['calls']} | {read:.0f} | {usage.get('output_tokens') or 0:.0f} | {cost} |"
