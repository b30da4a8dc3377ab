"""What a `dagger call` says of its variations."""

from aideator.report import Report, Row, markdown

SPENT: dict[str, float | None] = {"calls": 2, "input_tokens": 1, "cache_read_tokens": 2, "output_tokens": 3}


def cells(row: Row) -> list[str]:
    line = markdown(Report(run_id="a", commit="", variations=[row])).splitlines()[-1]
    return [cell.strip() for cell in line.replace("\\|", "PIPE").strip("|").split("|")]


def test_a_summary_says_who_worked_how_it_ended_and_why():
    row = Row(index=0, agent="codex", model="openai/gpt-5", outcome="gave_up", exit=3, seconds=1.5, patch_bytes=7)
    row["code"], row["reason"], row["usage"] = "llm.budget", "it is spent", {**SPENT, "cost_usd": None}
    assert cells(row) == [
        *("0", "codex", "openai/gpt-5", "gave_up", "3", "1.5", "7 bytes", "2", "3", "3", "unknown"),
        "llm.budget: it is spent",
    ]


def test_what_a_crashed_variation_lacks_is_a_dash():
    row = Row(index=1, agent="command", model="", outcome="crashed", exit=137, reason="killed by signal 9")
    assert cells(row) == ["1", "command", "-", "crashed", "137", *["-"] * 6, "killed by signal 9"]


def test_a_reason_stays_in_its_cell_and_on_its_line():
    why = cells(Row(index=0, reason=f"a | b\nc {'x' * 1000}"))[-1]
    assert why.startswith("a PIPE b c xxx")
    assert len(why) < 200


def test_every_line_of_a_summary_has_as_many_columns():
    lines = markdown(Report(run_id="a", commit="", variations=[Row(index=0)])).splitlines()[2:]
    assert len({line.count("|") for line in lines}) == 1
