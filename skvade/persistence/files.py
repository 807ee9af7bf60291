"""Regular files: which names are those of one, and how a new file takes the place of an older.

A write goes to a temporary file in the same folder, whose short name tells which file it is for.
Its writer holds a lock on it: what nobody holds, a process left that was killed, and the next write
of the same file removes it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}
MOST_LINKS = 64  # more than any system follows


def regular(path: Any, name: str = "path") -> str:
    """The path as text, of a regular file or of one that is not there yet; links are followed.

    Parameters
    ----------
    path : str, bytes or path-like
    name : str
        What the argument is called.

    Raises
    ------
    TypeError
        If it is no path.
    ValueError
        If it is the name of something else, such as a folder, a device or a pipe.
    OSError
        If it cannot be looked up.
    """
    if not isinstance(path, str | bytes | os.PathLike):
        raise TypeError(
            f"{name} must be a path, of type str, bytes or os.PathLike, got {path!r:.100} of type "
            f"{type(path).__name__}; pass the name of a file."
        )
    text = os.fsdecode(path)
    try:
        kind = _kind(text)
    except ValueError as error:
        raise ValueError(
            f"{name}={text!r} is not the name of a file ({error}); pass one."
        ) from error
    if kind:
        raise ValueError(
            f"{name}={text!r} is not the name of a file but {kind}; pass that of a regular file."
        )
    return text


@contextlib.contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` once the block has ended and all is on the disk.

    It has the mode of the older one, and its owner and group as far as the process may give them.

    Raises
    ------
    OSError
        If there is no such folder, or the older file or the folder may not be written.
    """
    place = Path(os.path.realpath(path))
    older = _status_of_writable(place)
    if not place.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", os.fspath(place.parent))
    remove_left(place)
    temporary, descriptor = _begin(place, older)
    try:
        # The lock is the descriptor's and its duplicate's: it is held until the name is gone.
        held = os.dup(descriptor) if fcntl else None
        try:
            with open(descriptor, "w+b") as file:
                if older is not None:
                    _own_like(older, descriptor)
                yield file
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, place)
        finally:
            if held is not None:
                os.close(held)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # not every system opens folders
        folder = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_left(place: Path) -> None:
    """Remove what processes that were killed have left of a file, and nothing that is written."""
    ours = re.compile(re.escape(_prefix(place)) + r"[0-9a-f]{8}\.tmp")
    with contextlib.suppress(OSError):  # such as a folder that cannot be listed
        for name in filter(ours.fullmatch, os.listdir(place.parent)):
            with contextlib.suppress(OSError):  # such as a file that is locked, or gone by now
                _remove_if_left(place.with_name(name))


def _kind(text: str) -> str:
    """What a path leads to, in words, if that is there and no regular file."""
    if not text:
        raise ValueError("it is empty")
    if _is_of_the_system(text):
        return "that of a device or an open file, which belongs to the system"
    if os.path.basename(text) in ("", os.curdir, os.pardir):
        return KINDS[stat.S_IFDIR]
    try:
        mode = os.stat(text).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return "" if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "no regular file")


def _is_of_the_system(text: str) -> bool:
    """Whether a path leads through /dev or /proc: links there may stand for open files.

    Such as /dev/stdout, which is where the process prints and may well be a regular file.
    """
    if os.name != "posix":
        return False
    for _ in range(MOST_LINKS):
        folder, name = os.path.split(text)
        folder = os.path.realpath(folder)
        parts = Path(folder, name).parts
        if parts[1:2] in (("dev",), ("proc",)) and parts[1:3] != ("dev", "shm"):
            return True
        if not os.path.islink(text):
            break
        text = os.path.join(folder, os.readlink(text))
    return False


def _status_of_writable(place: Path) -> os.stat_result | None:
    """The status of a file, which is opened as if to be written, so that protected ones stay."""
    try:
        descriptor = os.open(place, os.O_WRONLY)
    except FileNotFoundError:
        return None
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _prefix(place: Path) -> str:
    """What the names of a file's temporaries begin with: of one length, however long its own is."""
    digest = hashlib.blake2b(os.fsencode(place.name), digest_size=8).hexdigest()
    return f".skvade-{digest}-"


def _begin(place: Path, older: os.stat_result | None) -> tuple[Path, int]:
    """A new temporary, and its descriptor, which holds a lock where there are any."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    mode = 0o666 if older is None else 0o600
    while True:
        temporary = place.with_name(f"{_prefix(place)}{secrets.token_hex(4)}.tmp")
        descriptor = os.open(temporary, flags, mode)
        if _lock(descriptor, wait=True) and not _is_at(temporary, descriptor):
            os.close(descriptor)  # another process took it for one that was left
            continue
        return temporary, descriptor


def _remove_if_left(temporary: Path) -> None:
    if fcntl is None:
        temporary.unlink()
        return
    descriptor = os.open(temporary, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if _lock(descriptor, wait=False) and _is_at(temporary, descriptor):
            temporary.unlink()
    finally:
        os.close(descriptor)


def _lock(descriptor: int, wait: bool) -> bool:
    """Lock a file against all others that open it, also in this process; whether that was done."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held by another, or a file system without locks
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the regular file that is open is still the one of this name."""
    status = os.fstat(descriptor)
    try:
        return stat.S_ISREG(status.st_mode) and os.path.samestat(status, os.lstat(path))
    except FileNotFoundError:
        return False


def _own_like(older: os.stat_result, descriptor: int) -> None:
    """Give a file the owner, group and mode of an older one, but no rights to another group."""
    if not hasattr(os, "fchown"):
        return
    for owner in (older.st_uid, -1):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, owner, older.st_gid)
            break
    mode = stat.S_IMODE(older.st_mode) & 0o777
    if os.fstat(descriptor).st_gid != older.st_gid:
        mode &= 0o707
    os.fchmod(descriptor, mode)
