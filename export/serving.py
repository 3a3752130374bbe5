"""A web server for the page of `export/web/`, for this machine alone."""

import contextlib
import errno
import functools
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

HOST = "127.0.0.1"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".tflite": "application/octet-stream",
    ".ply": "application/octet-stream",
}
"""Types by extension: what the system has registered may be wrong, and a browser runs no script of another type."""
HEADERS = {
    # The page says this of itself; a worker heeds only what it is served with.
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    # A new version of the page or another model is served under the same address.
    "Cache-Control": "no-cache",
}


@contextlib.contextmanager
def serving(page: str | os.PathLike, model: str | os.PathLike, port: int = 0) -> Iterator[str]:
    """Serve a built page with a model's two files (`keras_wcd.export.site`) while the block runs.

    Args:
        page: Folder of the page.
        model: Folder of the model's files.
        port: Of 127.0.0.1; 0 takes a free one.

    Yields:
        The address.

    Raises:
        ValueError: where the port is in use or not allowed.
    """
    handler = functools.partial(Handler, model=Path(model), directory=os.fspath(page))
    try:
        server = Server((HOST, port), handler)
    except (OSError, OverflowError) as error:
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        why = "is in use" if taken else f"cannot be opened ({getattr(error, 'strerror', None) or error})"
        raise ValueError(f"port {port} {why}; give another one with --port, or 0 for any that is free") from None
    thread = threading.Thread(target=server.serve_forever, name="keras-wcd web", daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Server(http.server.ThreadingHTTPServer):
    """A server whose threads end with the process, and which takes no port that another one listens on."""

    daemon_threads = True
    # On Windows this option lets two servers share a port.
    allow_reuse_address = os.name != "nt"

    def handle_error(self, request: socket.socket | tuple, client_address: tuple) -> None:
        """Nothing: a browser that goes away in the middle of an answer is no fault."""


class Handler(http.server.SimpleHTTPRequestHandler):
    """The files of the page, and the model's two among them."""

    extensions_map = TYPES
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments, model: Path, **named):
        self.model = model
        super().__init__(*arguments, **named)

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        # A site elsewhere may point a name of its own at this machine and read what is here.
        host = self.headers.get("Host", "").rsplit(":", 1)[0]
        if host in (HOST, "localhost"):
            return True
        self.send_error(403, "This page is for this machine alone")
        return False

    def translate_path(self, path: str) -> str:
        name = path.partition("?")[0]
        return str(self.model / name[1:]) if name in ("/model.tflite", "/model.json") else super().translate_path(path)

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        self.send_error(404)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments) -> None:
        """Nothing: the shell is for what the user asked."""
