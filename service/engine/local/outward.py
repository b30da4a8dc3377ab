"""What the operator has set for whoever goes out to the network: proxies, and whom to trust."""

from collections.abc import Mapping
from pathlib import Path

from service.engine.local.confinement import Bind

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_CERTIFICATES = ("GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""Variables with a file of them. Whichever is set first counts for all, for no program reads more than one or two."""
_TRUST = (*_CERTIFICATES, "SSL_CERT_DIR")
_PLACE = "/run/aideator/trust/ca.pem"
"""Where sandboxes find it."""


def outward(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of the variables that are set."""
    return _set((*_PROXIES, *map(str.upper, _PROXIES), *_TRUST), environ)


def outward_sandbox(
    environ: Mapping[str, str], trusting: tuple[str, ...] = (*_CERTIFICATES, "NODE_EXTRA_CA_CERTS")
) -> tuple[dict[str, str], tuple[Bind, ...]]:
    """The same for a sandbox: variables, those of `trusting` among them, and what has to be shown for them."""
    told = _set((*_PROXIES, *map(str.upper, _PROXIES)), environ)
    file = next((Path(environ[name]) for name in _CERTIFICATES if environ.get(name)), None)
    if file is None or not file.is_file():
        return told, ()
    return {**told, **dict.fromkeys(trusting, _PLACE)}, (Bind(file.resolve(), _PLACE),)


def _set(names: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in names if environ.get(name)}
