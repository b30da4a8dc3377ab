"""What is to be done about a program that this machine lacks."""

import shutil


def how_to_install(package: str) -> str:
    """A command of this machine's package manager, in a few words."""
    managers = {
        "apt-get": "apt-get install -y",
        "dnf": "dnf install -y",
        "zypper": "zypper install -y",
        "apk": "apk add",
        "pacman": "pacman -S",
    }
    line = next((line for program, line in managers.items() if shutil.which(program)), "")
    return f"`{line} {package}`, as root" if line else f"have {package} from this machine's distribution"
