"""What every sandbox shows of this machine: its programs and libraries, and nothing that is anybody's own."""

from pathlib import Path

HOME = "/home/agent"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SYSTEM_ENVIRON = {
    "PATH": PATH,
    "HOME": HOME,
    "USER": "agent",
    "LOGNAME": "agent",
    "SHELL": "/bin/sh",
    "LANG": "C.UTF-8",
}

ACCOUNTS = {f"/etc/{name}": Path(__file__).with_name("etc") / name for name in ("passwd", "group")}
"""In place of this machine's own, by where they are shown."""

_SCRATCH_BYTES = 1 << 30
"""Of memory, in each of the folders for what nobody keeps."""
_ETC = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version", "fonts", "gai.conf",
    "host.conf", "hosts", "java-11-openjdk", "java-17-openjdk", "java-21-openjdk", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "magic", "mime.types", "nsswitch.conf", "os-release", "perl", "pki", "protocols",
    "resolv.conf", "services", "shells", "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone", "xml",
)  # fmt: skip
"""Of /etc, what programs look for and everybody may read; what a machine lacks is left out."""


def system_arguments() -> list[str]:
    """Bubblewrap's arguments for the system's folders, which are links into /usr or folders, and for empty ones."""
    arguments = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        place = Path("/", name)
        if place.is_symlink():
            arguments += ["--symlink", str(place.readlink()), str(place)]
        elif place.is_dir():
            arguments += ["--ro-bind", str(place), str(place)]
    for name in _ETC:
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    arguments += ["--proc", "/proc", "--dev", "/dev", "--dir", HOME, "--symlink", "/tmp", "/var/tmp"]  # noqa: S108
    for place in ("/tmp", "/dev/shm"):  # noqa: S108 -- the sandbox's
        arguments += ["--size", str(_SCRATCH_BYTES), "--perms", "1777", "--tmpfs", place]
    return [*arguments, "--remount-ro", "/dev"]
