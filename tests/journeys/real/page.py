"""A web page on loopback, for the server that fetches pages."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

_ARTICLE: Final = (
    "<html><head><title>Tea</title></head><body><article><h1>Tea</h1>"
    "<p>Pour the water over the leaves, and wait for two minutes.</p></article></body></html>"
)
_PAGES: Final = {
    "/tea.html": ("text/html", _ARTICLE),
    "/private.html": ("text/html", _ARTICLE),
    "/robots.txt": ("text/plain", "User-agent: *\nDisallow: /private.html\n"),
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind, text = _PAGES.get(self.path, ("text/plain", ""))
        self.send_response(HTTPStatus.OK if text else HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what matters is what the fetching server makes of the page."""


@contextmanager
def served_page() -> Generator[str]:
    """Serve `/tea.html`, `/private.html` and a robots.txt that forbids the latter; gives the address without a path."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
