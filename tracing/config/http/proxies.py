"""The proxy on the way to a backend, chosen as `requests` does, and checked at set-up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from tracing.config.backends import Backend


def proxy_for(url: str, proxies: Mapping[str, str]) -> str | None:
    """The proxy for a URL by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; None for none.

    `proxies` are these variables by scheme, as `urllib.request.getproxies_environment` has them.
    """
    if not proxies:
        return None
    # Imported where there is a proxy: it takes as long as the whole drainer to start.
    from requests.utils import select_proxy, should_bypass_proxies

    chosen = select_proxy(url, dict(proxies))
    if not chosen or should_bypass_proxies(url, no_proxy=None):
        return None
    return chosen if "://" in chosen else f"http://{chosen}"


def proxy_problems(backends: Iterable[Backend]) -> Iterator[str]:
    """What is wrong with the proxies that backends are to be reached by; shows no password."""
    for proxy in dict.fromkeys(backend.proxy for backend in backends if backend.proxy):
        try:
            parts = parse_url(proxy)
            is_fine = parts.scheme in ("http", "https") and bool(parts.host)
        except LocationParseError:
            is_fine = False
        if not is_fine:
            scheme, mark, rest = proxy.rpartition("://")
            shown = f"{scheme}{mark}{rest.rpartition('@')[2]}"
            yield (
                f"the proxy is {shown!r}: give HTTPS_PROXY, HTTP_PROXY or ALL_PROXY as "
                "http://host:port, or name the backend's host in NO_PROXY"
            )
