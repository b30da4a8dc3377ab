"""What a run reports of its variations, for people and for programs."""

from typing import TypedDict

_LONGEST_WHY = 120
"""Characters of a summary's last column; the report has the whole reason."""
_COLUMNS = (
    "variation", "agent", "model", "outcome", "exit", "seconds", "patch", "calls", "tokens in", "out", "cost", "why",
)  # fmt: skip
_TEXTS = {"agent", "model", "outcome", "why"}


class Row(TypedDict, total=False):
    """One variation. Of a crashed one there may be neither seconds nor a patch."""

    index: int
    agent: str
    model: str
    """`provider/name`, or `scripted`; empty for a command that asks none."""
    outcome: str
    exit: int
    code: str
    """Why, for programs; left out where there is no more to say than the outcome."""
    reason: str
    """Why, for people; left out of `submitted`."""
    seconds: float
    patch_bytes: int
    usage: dict[str, float | None]
    """What its model calls took: calls, tokens by kind, `cost_usd`; null where a price is unknown."""


class Report(TypedDict):
    """A run; its variations in their order."""

    run_id: str
    commit: str
    variations: list[Row]


def markdown(report: Report) -> str:
    """The report as a Markdown table."""
    head = f"Run `{report['run_id']}` at `{report['commit'] or 'the directory as given'}`"
    ruler = "|".join("---" if column in _TEXTS else "---:" for column in _COLUMNS)
    lines = [head, "", _line(_COLUMNS), f"|{ruler}|", *(_line(_cells(row)) for row in report["variations"])]
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        str(row.get("index")),
        row.get("agent", "-"),
        _escaped(row.get("model") or "-"),
        row.get("outcome", "-"),
        str(row.get("exit", "-")),
        f"{row['seconds']:.1f}" if "seconds" in row else "-",
        f"{row['patch_bytes']} bytes" if "patch_bytes" in row else "-",
        *_spent(row.get("usage") or {}),
        _why(row),
    )


def _spent(usage: dict[str, float | None]) -> tuple[str, ...]:
    """The columns on model calls; dashes where there were none."""
    if not usage.get("calls"):
        return "-", "-", "-", "-"
    read = sum(usage.get(name) or 0 for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens"))
    cost = "unknown" if (usd := usage.get("cost_usd")) is None else f"${usd:.4f}"
    return str(usage["calls"]), f"{read:.0f}", f"{usage.get('output_tokens') or 0:.0f}", cost


def _why(row: Row) -> str:
    said = ": ".join(text for text in (row.get("code"), row.get("reason")) if text)
    line = " ".join(said.split())
    return _escaped(line if len(line) <= _LONGEST_WHY else f"{line[: _LONGEST_WHY - 1]}…") or "-"


def _escaped(text: str) -> str:
    """Make sure that a text stays in its cell."""
    return text.replace("\\", "\\\\").replace("|", "\\|")
