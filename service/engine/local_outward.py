"""What the operator has set for whoever goes out to the network: proxies, and whom to trust."""

from collections.abc import Mapping

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE")


def outward(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of the variables that are set."""
    names = (*_PROXIES, *(name.upper() for name in _PROXIES), *_TRUST)
    return {name: environ[name] for name in names if environ.get(name)}
