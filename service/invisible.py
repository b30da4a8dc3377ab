"""Characters that cannot be seen, or change how those around them are seen."""

import unicodedata

# Control, format (bidi and zero-width among them), lone surrogates, line and paragraph separators.
_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def has_invisible(text: str) -> bool:
    """Tell whether a name should be refused because a person could not see all of it."""
    return any(unicodedata.category(character) in _CATEGORIES for character in text)
