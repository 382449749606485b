# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Ports of this machine, for what tests start on it."""

import socket


def free_ports(count):
    """Returns ports that are free now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def is_open(host, port):
    """Returns whether anything listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0
