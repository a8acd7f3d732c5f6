"""One request to a backend, and what its answer means for what was sent."""

from __future__ import annotations

import email.utils
import enum
import re
import ssl
from collections.abc import Mapping
from typing import IO, Any, NamedTuple
from urllib.parse import unquote

import urllib3
from urllib3.util import parse_url

from tracing.config.backends import Backend
from tracing.config.tenants import url_secrets
from tracing.deliver.senders.deadline import Deadline, pool_classes
from tracing.deliver.senders.sender import Unavailable
from tracing.safe_text import safe

_MAX_RETRY_AFTER_SECONDS = 300.0
_READ_BYTES = 2**16
_MAX_ANSWER_BYTES = 2**20
_MAX_LOOKED_AT = 2**14
"""Characters of an answer in which its words are looked for."""

_FORBIDDEN, _PROXY_WANTS_A_PASSWORD = 403, 407
_PAGES = ("text/html", "text/plain", "")
"""What a proxy denies a request with; backends and object stores refuse in JSON, protobuf, XML."""
_REFUSED_BY_PROXY = re.compile("^40[37]: |Tunnel connection failed: (?!408|429)[34]")
_MEND_PROXY = "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY"


class Verdict(enum.Enum):
    """What an answer means for what was sent."""

    ACCEPTED = "accepted"
    RETRY = "retry"
    TOO_LARGE = "too large"
    BAD = "bad"
    REFUSED = "refused"


class Answer(NamedTuple):
    """A backend's complete answer to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""
    """What was asked; the query of an upload is all the permission that it takes."""

    @property
    def content_type(self) -> str:
        """What the body says that it is, without parameters, in lower case; "" where it is mute."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def words(self) -> str:
        """The server's own words, one line, at most 300 characters; safe."""
        words = " ".join(self.body.decode("utf-8", "replace").split())[:_MAX_LOOKED_AT]
        return safe(words, secrets=url_secrets(self.url))[:300]


def verdict_of(status: int) -> Verdict:
    """The class of an HTTP status, by what can be done about it."""
    if 200 <= status < 300:
        return Verdict.ACCEPTED
    if status in (408, 429) or status >= 500:
        return Verdict.RETRY
    if status == 413:
        return Verdict.TOO_LARGE
    if status in (400, 422):
        return Verdict.BAD
    return Verdict.REFUSED


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """The `Retry-After` of an answer, given in seconds or as a date; at most five minutes."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now
        except ValueError:
            return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER_SECONDS)


def refusal(method: str, url: str, answer: Answer, why: str = "") -> str:
    """What was asked and answered, in one sentence; `why` says what is wrong with it; safe."""
    location = answer.headers.get("Location", "")
    words = f"redirected to {location}" if location else answer.words or "(no words)"
    return safe(f"{method} {url} answered {answer.status}{why and ', '}{why}: {words}")


class HttpClient:
    """Asks one backend over one kept-alive connection, by its proxy and its certificates."""

    def __init__(self, backend: Backend, *, timeout_seconds: float | None = None) -> None:
        self._timeout_seconds = timeout_seconds or backend.timeout_seconds
        self._deadline = Deadline()
        self._pool = _pool_of(backend, self._timeout_seconds, self._deadline)
        proxy = self._pool.proxy
        self._way = f" through the proxy {proxy.url}" if proxy is not None else ""

    def request(
        self, method: str, url: str, body: bytes | IO[bytes], headers: Mapping[str, str]
    ) -> Answer:
        """Ask once, without redirects; raises Unavailable where no whole answer comes back."""
        try:
            with self._deadline.within(self._timeout_seconds):
                answer = self._exchange(method, url, body, headers)
        except urllib3.exceptions.HTTPError as error:
            if self._deadline.is_over:
                reason = f"no whole answer within {self._timeout_seconds:g} s"
                raise self._failure(url, reason, hung=True) from error
            raise self._failure(url, _plain(error)) from error
        if self._is_proxys(answer):
            raise self._failure(url, f"{answer.status}: {answer.words}")
        return answer

    def _is_proxys(self, answer: Answer) -> bool:
        """Whether a proxy says no in the backend's place; within TLS it could not deny a thing."""
        if answer.status == _PROXY_WANTS_A_PASSWORD:  # also one that nobody has set
            return True
        is_open = bool(self._way) and answer.url.startswith("http:")
        return is_open and answer.status == _FORBIDDEN and answer.content_type in _PAGES

    def _failure(self, url: str, reason: str, *, hung: bool = False) -> Unavailable:
        """Why no answer came; a proxy that says no says it to everything, until it is mended."""
        refused = _REFUSED_BY_PROXY.search(reason) is not None
        words = f"{url} cannot be reached{self._way}: {reason}"
        mend = _MEND_PROXY if self._way or refused else ""
        return Unavailable(safe(words), refused=refused, mend=mend, hung=hung)

    def _exchange(
        self, method: str, url: str, body: bytes | IO[bytes], headers: Mapping[str, str]
    ) -> Answer:
        response = self._pool.request(
            method,
            url,
            body=body,
            headers=headers,
            redirect=False,
            retries=False,
            preload_content=False,
        )
        try:
            content = self._read(response)
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return Answer(response.status, response.headers, content, url)

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """The whole body: an answer without end, in time or in size, is no answer."""
        content = bytearray()
        while chunk := response.read1(_READ_BYTES):
            content += chunk
            if len(content) > _MAX_ANSWER_BYTES:
                raise urllib3.exceptions.HTTPError("the answer does not come to its end")
        if self._deadline.is_over:  # an end that was made looks like one that came
            raise urllib3.exceptions.HTTPError
        return bytes(content)


def _plain(error: BaseException) -> str:
    """The innermost reason of a failed request: "[Errno 111] Connection refused"."""
    while (inner := error.__cause__ or getattr(error, "reason", None)) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return str(error).rpartition("): ")[2] or type(error).__name__


def _pool_of(backend: Backend, timeout_seconds: float, deadline: Deadline) -> urllib3.PoolManager:
    options: dict[str, object] = {
        "num_pools": 1,
        "maxsize": 1,
        "timeout": urllib3.Timeout(total=timeout_seconds),
    }
    if backend.url.startswith("https:"):
        options["ssl_context"] = _ssl_context(backend)
    pool = (
        _proxied(backend.proxy, **options) if backend.proxy else urllib3.PoolManager(**options)  # type: ignore[arg-type]
    )
    pool.pool_classes_by_scheme = pool_classes(deadline)
    return pool


def _proxied(proxy: str, **options: Any) -> urllib3.ProxyManager:
    """A pool that asks by a proxy; user and password go to it alone, and into no message."""
    parts = parse_url(proxy)
    if parts.auth:
        user_and_password = unquote(parts.auth).encode().decode("latin-1")
        options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=user_and_password)
    return urllib3.ProxyManager(parts._replace(auth=None).url, **options)


def _ssl_context(backend: Backend) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=backend.certificate)
    if not backend.certificate and not context.cert_store_stats()["x509_ca"]:
        import certifi  # some Python builds know no system certificates

        context.load_verify_locations(certifi.where())
    if backend.client_certificate:
        context.load_cert_chain(backend.client_certificate, backend.client_key)
    return context
