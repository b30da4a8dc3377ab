"""Who may import whom, read from the sources without running them."""

import ast
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

SERVICE_MAY = (
    "aideator",
    "agent_image.events",
    "agent_image.gateway.plan",
    "agent_image.gateway.prices",
    "agent_image.gateway.totals",
    "agent_image.told",
)
"""What of ours the service may import besides itself."""
DAGGER = ("dagger", "aideator")
DAGGER_FILES = "engine/dagger/*.py"
"""The only files of the service that may import `DAGGER`."""
ENGINE_FILES = "engine/*.py"
WITHOUT_DAGGER = ("aideator.places", "aideator.task")
"""What every engine of the service may import of the pipeline, for it imports no Dagger itself."""


def violations(packages: dict[str, Path], layers: Sequence[str]) -> list[str]:
    """Name every import that points the wrong way; `packages` are ours, by import name, with their folders."""
    found: list[str] = []
    for package, folder in packages.items():
        for file in sorted(folder.rglob("*.py")):
            inside = file.relative_to(folder)
            for line, module in _imports(file, package, inside):
                reason = _refusal(package, inside, module, set(packages), layers)
                found += [f"{package}/{inside}:{line} imports {module}: {reason}"] if reason else []
            if package == "service" and (layer := _layer(inside)) and layer not in layers:
                found.append(f"{package}/{inside}: add {layer!r} to LAYERS in test_layers.py, where it belongs")
    return found


def _imports(file: Path, package: str, inside: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, wherever in it, and the line."""
    home = [package, *inside.parent.parts]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = home[: len(home) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from service import run` imports a module, `from service.run import RunState` one name of it.
            yield from ((node.lineno, f"{base}.{name.name}") for name in node.names)


def _refusal(package: str, inside: Path, module: str, ours: set[str], layers: Sequence[str]) -> str:
    """Why this file may not import `module`; empty if it may."""
    top = module.partition(".")[0]
    if package == "service" and top in DAGGER and not fnmatch(str(inside), DAGGER_FILES):
        is_free = fnmatch(str(inside), ENGINE_FILES) and _is_one_of(module, WITHOUT_DAGGER)
        return "" if is_free else f"only service/{DAGGER_FILES} knows Dagger"
    if package == "agent_image" and top == "dagger":
        return "what runs in a container knows no Dagger"
    if top not in ours:
        return ""
    if top != package:
        allowed = package == "service" and _is_one_of(module, SERVICE_MAY)
        return "" if allowed else f"{package} may not import it"
    if package != "service":
        return ""
    return _upward(_layer(inside), [*module.split("."), ""][1], layers)


def _is_one_of(module: str, names: Sequence[str]) -> bool:
    """Whether a module is among these, or something of one of them."""
    return any(f"{module}.".startswith(f"{name}.") for name in names)


def _upward(source: str, target: str, layers: Sequence[str]) -> str:
    if source == target or target not in layers or (source and source not in layers):
        return ""  # a target that is no layer is a name of the package itself, or is reported where it lies
    if not source:
        return "the package itself imports nothing"
    return "" if layers.index(source) < layers.index(target) else f"{target} is not below {source}"


def _layer(inside: Path) -> str:
    """`db` for db/runs.py, `run` for run.py, nothing for the package's own __init__.py."""
    first = inside.parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")
