"""What the drainer's process gets of its agent's surroundings, and what it never leaves behind.

An agent's environment holds the keys of its models, its telephony and its databases; the drainer
needs none of them.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from types import TracebackType

from tracing.safe_text import make_safe, safe

WORKING_DIRECTORY = os.path.abspath(os.sep)
"""No place of anybody's: what a process drops where it stands is not dropped among spans."""

_NEEDED = (
    *("PATH", "HOME", "TMPDIR", "TEMP", "TMP", "TZ", "LANG", "LC_ALL", "LC_CTYPE"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF", "OPENSSL_MODULES"),
)
"""What Python, SQLite and OpenSSL read; a backend's settings come on standard input."""


def environment() -> dict[str, str]:
    """The environment of a drainer."""
    return {name: os.environ[name] for name in _NEEDED if name in os.environ}


def confine() -> None:
    """In the drainer's process: no core file, and no secret in what it writes when it fails."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    handler = logging.StreamHandler()
    handler.addFilter(make_safe)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", handlers=[handler])
    sys.excepthook = _say
    threading.excepthook = lambda args: _say(args.exc_type, args.exc_value, args.exc_traceback)


def _say(
    kind: type[BaseException], error: BaseException | None, where: TracebackType | None
) -> None:
    """Print an error that nobody caught."""
    if sys.stderr is not None:
        text = "".join(traceback.format_exception(kind, error, where))
        sys.stderr.write(safe(text, keep="\n\t"))
