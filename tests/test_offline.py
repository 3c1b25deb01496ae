import os
import subprocess
import sys

import pytest

from tests.test_dvc_yaml import ROOT

OFFLINE = ROOT / "tests/offline"


def run(code):
    environment = os.environ | {"PYTHONPATH": str(OFFLINE)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    "call",
    [
        "import urllib.request; urllib.request.urlopen('http://example.org')",
        "import requests; requests.get('https://192.0.2.1', timeout=0.1)",
        "import socket; socket.create_connection(('192.0.2.1', 80), timeout=0.1)",
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 53))",
        "import socket; socket.gethostbyname('example.org')",
    ],
)
def test_a_process_that_calls_the_network_is_ended_whatever_it_catches(call):
    done = run(f"try:\n  {call}\nexcept BaseException:\n  pass")
    assert done.returncode == 99
    assert "a call to the network" in done.stderr


def test_this_machine_may_be_called():
    code = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(("localhost", server.getsockname()[1])).close()
"""
    done = run(code)
    assert (done.returncode, done.stderr) == (0, "")
