"""Real processes that train together, as a launcher starts them."""

import socket

from tests import server
from tests.distributed import cases


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
    }
    names = [name for _, name in socket.if_nameindex()]
    shared |= {"GLOO_SOCKET_IFNAME": "lo"} if "lo" in names else {}  # whatever the host is called
    return [
        server.start(cases.run, case, options, **shared, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(n_processes)
    ]


def run(n_processes, case, **options):
    """What every process of a case found; all must end well."""
    return server.results(start(n_processes, case, **options))
