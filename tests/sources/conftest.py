"""A web server on this machine, so that downloads are tested without a network."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class FileServer:
    """Serves `files` ({path: content}) and honours byte ranges, as real hosts do; `cuts` and `silent` spoil it."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []  # after how many bytes to break off the next answers
        self.ranges: list[str | None] = []  # what was asked for so far
        self.silent = False  # accept requests and never answer
        self.unanswered = 0  # such requests so far
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if server.silent:
                    server.unanswered += 1
                    server.closing.wait()
                    return
                content = server.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                asked = self.headers["Range"]
                if self.command == "GET":
                    server.ranges.append(asked)
                start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
                if start and start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206 if asked else 200)
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                if self.command == "GET":
                    end = start + server.cuts.pop(0) if server.cuts else len(content)
                    self.wfile.write(content[start:end])

            do_HEAD = do_GET

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def file_server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = FileServer()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.closing.set()
    server.http.shutdown()
    server.http.server_close()
    thread.join()


@pytest.fixture
def dead_address(monkeypatch):
    """An address where nothing listens."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    return f"http://127.0.0.1:{port}"
