"""What a git ref may be: a branch, a tag or a commit, by the rules of `git check-ref-format --branch`."""

import re

from service.invisible import has_invisible

MAX_BYTES = 255

_REFUSED = re.compile(r"\.\.|@\{|//|[ ~^:?*\[\\]|(?:^|/)\.|\.lock(?:/|$)|^[-/]|[/.]$|^@$")


class RefError(ValueError):
    """A ref that is refused; `str(error)` is for people."""

    code = "ref.syntax"


def check_ref(text: str) -> str:
    """Return `text`, a ref that git would take; empty for `HEAD`, the remote's default branch.

    Stricter than git in one thing: what cannot be seen is refused too.

    Raises:
        RefError: git would refuse it, or read it as an option or an expression.

    """
    if text in {"", "HEAD"}:
        return ""
    if has_invisible(text):
        raise RefError("the ref holds a control or an invisible character")
    if len(text.encode()) > MAX_BYTES:
        raise RefError(f"the ref is longer than {MAX_BYTES} bytes")
    if _REFUSED.search(text):
        raise RefError(f"{text!r} is no branch, tag or commit that git would take")
    return text
