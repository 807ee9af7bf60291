"""Processes of tests, forked from a server that has the imports behind it.

Those take longer than most of what is tested in a process of its own.
"""

import multiprocessing
import os
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
SERVER.set_forkserver_preload(["tests.distributed.cases", "tests.examples"])


@dataclass
class Running:
    """A process, and where it says what it has found."""

    process: BaseProcess
    answers: Connection


@dataclass
class Ended:
    """What became of a process."""

    code: int
    found: object
    errors: str


def start(function, *args, **environment):
    """A process that calls a function of a module, in an environment with these variables."""
    with mock.patch.dict(os.environ, OMP_NUM_THREADS="1"):  # libraries read it when they load
        forkserver.ensure_running()
    answers, telling = SERVER.Pipe(duplex=False)
    given = (telling, environment, function, args)
    process = SERVER.Process(target=_call, args=given, daemon=True)
    process.start()
    telling.close()  # so that the end of the process is the end of what it says
    return Running(process, answers)


def _call(telling, environment, function, args):
    """What such a process does."""
    os.environ.update(environment)
    try:
        found, errors = function(*args), ""
    except BaseException:
        found, errors = None, traceback.format_exc()
    telling.send((found, errors))
    raise SystemExit(bool(errors))


def wait(running, timeout=TIMEOUT):
    """How they ended; none outlives the call."""
    end = time.monotonic() + timeout
    try:
        ended = []
        for each in running:
            found, errors = None, "it ended without a word"
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


def results(running):
    """What each of them found; all must end well."""
    ended = wait(running)
    for process in ended:
        assert process.code == 0, process.errors[-3000:]
    return [process.found for process in ended]
