"""What a run reports of its variations, for people and for programs."""

from typing import TypedDict


class Row(TypedDict, total=False):
    """One variation. Of a crashed one there may be neither seconds nor a patch."""

    index: int
    outcome: str
    exit: int
    seconds: float
    patch_bytes: int
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
        "| variation | outcome | exit | seconds | patch |",
        "|---:|---|---:|---:|---:|",
    ]
    return "\n".join([*lines, *map(_line, report["variations"])]) + "\n"


def _line(row: Row) -> str:
    seconds = f"{row['seconds']:.1f}" if "seconds" in row else "-"
    size = f"{row['patch_bytes']} bytes" if "patch_bytes" in row else row.get("reason", "-")
    return f"| {row.get('index')} | {row.get('outcome')} | {row.get('exit')} | {seconds} | {size} |"
