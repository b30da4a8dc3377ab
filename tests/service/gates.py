"""Gates that agents wait at until a test opens them: files in a folder that they see, and cannot write."""

from pathlib import Path


class Gates:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def wait(self, name: str = "go") -> str:
        """The shell command that waits at a gate."""
        return f"until {self.is_open(name)}; do sleep 0.01; done"

    def is_open(self, name: str = "go") -> str:
        """The shell command that looks whether a gate is open."""
        return f"[ -e {self.folder}/{name} ]"

    def open(self, name: str = "go", content: str = "") -> None:
        """Let all through; what they find at the gate is `content`, whole."""
        (self.folder / f"{name}.new").write_text(content)
        (self.folder / f"{name}.new").rename(self.folder / name)
