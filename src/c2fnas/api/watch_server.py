"""A page that follows a run, served to this machine alone. It can be read, and nothing can be changed by it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import TYPE_CHECKING, Any

from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.runs.state import RunState

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")
"""Names that a browser on this machine has for it; a page elsewhere that leads its own name here is refused."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Look = Callable[[], "RunState"]


@contextmanager
def served(look: Look, every: float, port: int) -> Iterator[str]:
    """Serve the page while the context lasts; gives its address.

    Args:
        look: reads the state of the run.
        every: seconds after which the page asks again.
        port: 0 for one that is free.

    Raises:
        UserError: the port is taken.
    """
    try:
        server = _Server(look, every, port)
    except (OSError, OverflowError) as error:
        raise UserError(f"--port {port}: cannot be had ({error}). Choose another, or leave it out.") from error
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def page(state: "RunState", every: float) -> str:
    """Return the page: it reads without scripts, and asks for the same again by one."""
    from jinja2 import Environment

    from c2fnas.text import duration, score

    text = (resources.files("c2fnas.api") / "watch.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"duration": duration, "score": score}
    return environment.from_string(text).render(state=state, run=state.summary, every=every)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, look: Look, every: float, port: int) -> None:
        self.look, self.every = look, every
        super().__init__((LOOPBACK, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the page and for the state as JSON; all else is refused."""

    server: _Server
    server_version, sys_version = "c2fnas", ""

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in NAMES:
            return self._answer(HTTPStatus.FORBIDDEN, "text/plain", "This page is for the machine that it is on.\n")
        path = self.path.partition("?")[0]
        if path not in ("/", "/state.json"):
            return self._answer(HTTPStatus.NOT_FOUND, "text/plain", "There is / and /state.json.\n")
        try:
            state = self.server.look()
            found = json.dumps(state.to_json()) if path == "/state.json" else page(state, self.server.every)
        except Exception as error:  # a folder that was moved away, say, or a file in the middle of a change
            return self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error}\n")
        return self._answer(HTTPStatus.OK, "application/json" if path == "/state.json" else "text/html", found)

    do_HEAD = do_GET

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in (HEADERS | {"Content-Type": f"{kind}; charset=utf-8"}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing: the terminal shows the run."""
