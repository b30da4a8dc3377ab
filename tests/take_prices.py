"""Take the prices of models from litellm's list, for the gateway: `python -m tests.take_prices`."""

import re
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import msgspec

VERSION = "1.106.2"
TARGET = Path(__file__).parents[1] / "agent_image" / "gateway" / "prices.json"

_LIST = "litellm/model_prices_and_context_window_backup.json"
_SOURCE = (
    f"litellm {VERSION}, {Path(_LIST).name} (MIT licence, Copyright (c) 2023 Berri AI); "
    "US dollars for a million tokens; standard tier, caches of five minutes"
)
_KINDS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
}
_LONG = re.compile(r"input_cost_per_token(_above_(\d+)k_tokens)")
_FOR_OTHER_WORK = re.compile(r"audio|search|computer-use|^ft:")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, f"--dest={folder}", f"litellm=={VERSION}"], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with ZipFile(wheel) as archive:
            listed: dict[str, dict[str, Any]] = msgspec.json.decode(archive.read(_LIST))
            taken = date(*archive.getinfo(_LIST).date_time[:3])
    TARGET.write_text(_text(taken, {name: _price(entry) for name, entry in listed.items() if _is_wanted(name, entry)}))


def _is_wanted(name: str, entry: dict[str, Any]) -> bool:
    """True for the models of the two makers that agents can work with, which is to say, that call tools."""
    return (
        entry.get("litellm_provider") in {"anthropic", "openai"}
        and entry.get("mode") in {"chat", "responses"}
        and bool(entry.get("supports_function_calling"))
        and not _FOR_OTHER_WORK.search(name)
    )


def _price(entry: dict[str, Any]) -> dict[str, Any]:
    long = next((found for field in entry if (found := _LONG.fullmatch(field))), None)
    if long is None:
        return _rates(entry)
    return {**_rates(entry), "long": {"above": int(long[2]) * 1000, **_rates(entry, long[1])}}


def _rates(entry: dict[str, Any], tier: str = "") -> dict[str, float]:
    fields = {kind: field + tier for kind, field in _KINDS.items()}
    return {kind: round(entry[field] * 1_000_000, 6) for kind, field in fields.items() if field in entry}


def _text(taken: date, prices: dict[str, dict[str, Any]]) -> str:
    """Write one line a model, so that a difference shows what has changed."""
    lines = [f"    {_json(name)}: {_json(price)}" for name, price in sorted(prices.items())]
    head = f'{{\n  "taken": {_json(taken)},\n  "source": {_json(_SOURCE)},\n  "models": {{\n'
    return head + ",\n".join(lines) + "\n  }\n}\n"


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


if __name__ == "__main__":
    main()
