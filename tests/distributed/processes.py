"""Real processes that train together, as a launcher starts them."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass

TIMEOUT = 900  # a slow machine takes minutes to import torch


@dataclass
class Ended:
    """What became of a process."""

    code: int
    found: dict
    errors: str


def start(n_processes, case, **options):
    """Processes that run a case of `tests.distributed.cases`, each of which knows its rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(n_processes),
        "LOCAL_WORLD_SIZE": str(n_processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    names = [name for _, name in socket.if_nameindex()]
    shared |= {"GLOO_SOCKET_IFNAME": "lo"} if "lo" in names else {}  # whatever the host is called
    command = [sys.executable, "-m", "tests.distributed.cases", case, json.dumps(options)]
    return [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(n_processes)
    ]


def wait(processes, timeout=TIMEOUT):
    """How they ended; none outlives the call."""
    try:
        ended = []
        for process in processes:
            output, errors = process.communicate(timeout=timeout)
            lines = [line for line in output.splitlines() if line.startswith("{")]
            found = json.loads(lines[-1]) if lines else {}
            ended.append(Ended(process.returncode, found, errors))
        return ended
    finally:
        for process in processes:
            process.kill()


def run(n_processes, case, **options):
    """What every process of a case found; all must end well."""
    ended = wait(start(n_processes, case, **options))
    for process in ended:
        assert process.code == 0, process.errors[-3000:]
    return [process.found for process in ended]
