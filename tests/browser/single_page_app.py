"""A single-page app on loopback: one page for every address, oidc-client-ts, and the settings of docs/clients.md."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LIBRARY = Path(__file__).parents[1] / "foreign/node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js"

_PAGE = """<!doctype html>
<title>Single-page app</title>
<h1>Single-page app</h1>
<script src="/library.js"></script>
<script>
{settings}
const manager = new oidc.UserManager(settings);
const began = location.pathname === "/callback" ? manager.signinCallback() : manager.getUser();
const ready = began.then((user) => { document.title = user ? "Signed in" : "Signed out"; return user; })
  .catch((error) => { document.title = error.error || String(error); });
</script>
"""


@contextmanager
def single_page_app(port: int, settings: str) -> Iterator[str]:
    """Serves it; yields its origin."""
    served = {"/library.js": ("text/javascript", LIBRARY.read_bytes())}
    page = ("text/html", _PAGE.replace("{settings}", settings).encode())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, body = served.get(self.path, page)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
