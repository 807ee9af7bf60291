"""Real processes that train together, as a launcher starts them.

They are forked from a server that has the imports behind it, which take longer than most cases.
"""

import multiprocessing
import os
import socket
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from unittest import mock

TIMEOUT = 900  # a slow machine takes minutes to import torch
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.distributed.cases"])


@dataclass
class Running:
    """A process, and where it says what it has found."""

    process: BaseProcess
    answers: Connection


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
    }
    names = [name for _, name in socket.if_nameindex()]
    shared |= {"GLOO_SOCKET_IFNAME": "lo"} if "lo" in names else {}  # whatever the host is called
    with mock.patch.dict(os.environ, OMP_NUM_THREADS="1"):  # libraries read it when they load
        forkserver.ensure_running()
    started = []
    for rank in range(n_processes):
        answers, telling = SERVER.Pipe(duplex=False)
        own = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        process = SERVER.Process(target=_run, args=(telling, own, case, options), daemon=True)
        process.start()
        telling.close()  # so that the end of the process is the end of what it says
        started.append(Running(process, answers))
    return started


def _run(telling, environment, case, options):
    """What such a process does."""
    os.environ.update(environment)
    from tests.distributed import cases

    try:
        found, errors = cases.run(case, options), ""
    except BaseException:
        found, errors = {}, traceback.format_exc()
    telling.send((found, errors))
    raise SystemExit(bool(errors))


def wait(running, timeout=TIMEOUT):
    """How they ended; none outlives the call."""
    end = time.monotonic() + timeout
    try:
        ended = []
        for each in running:
            found, errors = {}, "it ended without a word"
            if each.answers.poll(end - time.monotonic()):
                with suppress(EOFError):  # it was killed
                    found, errors = each.answers.recv()
            each.process.join(max(0.0, end - time.monotonic()))
            assert each.process.exitcode is not None, f"it runs after {timeout} seconds"
            ended.append(Ended(each.process.exitcode, found, errors))
        return ended
    finally:
        for each in running:
            each.process.kill()


def run(n_processes, case, **options):
    """What every process of a case found; all must end well."""
    ended = wait(start(n_processes, case, **options))
    for process in ended:
        assert process.code == 0, process.errors[-3000:]
    return [process.found for process in ended]
