"""Python imports this at its start from a PYTHONPATH: it ends a process that calls anything but this machine."""

import os
import sys

HERE = ("localhost", "127.0.0.1", "::1", "", None)
STATUS = 99


def _no_network(event, args):
    if event in ("socket.connect", "socket.sendto"):
        address = args[1]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        address = args
    else:
        return
    if (
        isinstance(address, tuple) and address[0] not in HERE
    ):  # anything else is a file's name: a socket of this machine
        os.write(2, f"{event} {address}: a call to the network\n".encode())
        os._exit(STATUS)  # no except clause can hide it


if __name__ == "sitecustomize":  # and not imported by pytest in search of doctests
    sys.addaudithook(_no_network)
