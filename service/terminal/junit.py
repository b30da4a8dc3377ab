"""A run as JUnit's XML, which CI servers show: a test case for each variation."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from service.errors import InvalidError
from service.run import RunView, State, VariationView
from service.terminal.keep import KeepError

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""https://www.w3.org/TR/xml/#charsets"""
_FAILURES = {"agent.gave_up", "agent.timed_out"}
"""What an agent may come to that works as it should; anything else is an error."""


def check_path(path: Path, *, made: Path | None = None) -> None:
    """Raise `InvalidError` where no file can be written; the folder `made` is yet to be made."""
    folder = path.absolute().parent
    if made and folder == made.absolute():
        return
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise InvalidError("junit.failed", "--junit", f"{path} is no place for a file")


def write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise KeepError(f"{path}: {error.strerror}") from error


def report(run: RunView, named: str, patches: Mapping[int, Path]) -> bytes:
    """Describe an ended run; `named` is its repository, as given, `patches` are the files of those that were kept."""
    suite = Element("testsuite", name="aideator", tests=str(len(run.variations)))
    suite.set("timestamp", run.created_at.strftime("%Y-%m-%dT%H:%M:%S"))
    if run.started_at and run.ended_at:
        suite.set("time", f"{(run.ended_at - run.started_at).total_seconds():.3f}")
    about = {"run_id": str(run.run_id), "repo_url": named, "ref": run.ref, "commit": run.commit}
    about |= {"prompt": run.prompt, "state": run.state, "code": run.code, "detail": run.detail}
    properties = SubElement(suite, "properties")
    for name, value in about.items():
        SubElement(properties, "property", name=name, value=_text(value))
    kinds = [_case(suite, run, each, patches.get(each.variation_id)) for each in run.variations]
    return _file(suite, kinds)


def report_of_none(code: str, detail: str) -> bytes:
    """Describe what came of a run that could not begin."""
    suite = Element("testsuite", name="aideator", tests="1")
    _outcome(_begin(suite, "run", None), "error", code, detail)
    return _file(suite, ["error"])


def _case(suite: Element, run: RunView, variation: VariationView, patch: Path | None) -> str:
    who = " ".join(filter(None, (str(variation.variation_id), variation.agent, variation.model)))
    case = _begin(suite, who, variation.seconds)
    kind, code, detail = _verdict(run, variation)
    if kind:
        _outcome(case, kind, code, detail)
    if patch:
        SubElement(case, "system-out").text = _text(str(patch))
    return kind


def _verdict(run: RunView, variation: VariationView) -> tuple[str, str, str]:
    if variation.state is State.SUCCEEDED:
        return ("skipped", "no_changes", "it changed nothing") if variation.no_changes else ("", "", "")
    if variation.state is State.CANCELLED:
        # Nothing of its own: the run was cancelled, or failed before it began.
        return ("error", run.code, run.detail) if run.code else ("skipped", "cancelled", "the run was cancelled")
    return "failure" if variation.code in _FAILURES else "error", variation.code, variation.detail


def _begin(suite: Element, name: str, seconds: float | None) -> Element:
    case = SubElement(suite, "testcase", classname="aideator", name=_text(name))
    case.set("time", f"{seconds or 0:.3f}")
    return case


def _outcome(case: Element, kind: str, code: str, detail: str) -> None:
    outcome = SubElement(case, kind, message=_text(detail), type=code)
    outcome.text = _text(f"{code}: {detail}")


def _file(suite: Element, kinds: Sequence[str]) -> bytes:
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(kinds.count(kind)))
    indent(suite)
    return tostring(suite, encoding="utf-8", xml_declaration=True) + b"\n"


def _text(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
