"""A file is replaced whole or left; what is no regular file, or another's, is left in any case."""

import errno
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skvade import VaDEClustering, load
from skvade.persistence import files
from skvade.persistence.container import read, write
from tests.conftest import small

posix = pytest.mark.skipif(os.name != "posix", reason="of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
X = np.random.default_rng(0).normal(size=(30, 2))

pytestmark = pytest.mark.usefixtures("quiet")


def save(path):
    write(path, "test", {"a": 2})


@pytest.fixture(scope="module")
def model():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return small(VaDEClustering, max_iter=1, pretrain_iter=1).fit(X)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def temporaries(path, n=1):
    """Temporaries of a file, as a process that was killed leaves them."""
    prefix = files._prefix(path)
    left = [path.with_name(f"{prefix}{i:08x}.tmp") for i in range(n)]
    for temporary in left:
        temporary.write_bytes(b"half")
    return left


# ------------------------------------------------------------------------------ whole or not


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_changes_nothing(call, error, tmp_path, monkeypatch):
    write(tmp_path / "file", "test", {"a": 1})

    def fail(*args):
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)):
        save(tmp_path / "file")
    assert read(tmp_path / "file", "test") == {"a": 1}
    assert names(tmp_path) == ["file"]


@posix
def test_a_full_disk_changes_nothing(tmp_path):
    write(tmp_path / "file", "test", {"a": 1})
    script = f"""
import errno, resource, signal, numpy as np
from skvade.persistence.container import write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write({str(tmp_path / "file")!r}, "test", {{"a": np.zeros(1_000_000)}})
except OSError as error:
    print("errno", error.errno)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["errno", str(errno.EFBIG)], done.stderr
    assert read(tmp_path / "file", "test") == {"a": 1}
    assert names(tmp_path) == ["file"]


# ------------------------------------------------------------------------------ whose files


OTHERS = (
    ".file.my-notes.tmp",
    ".file.0a1b2c3d.tmp",
    ".skvade.tmp",
    "file.tmp",
    files._prefix(Path("file")) + "notes.tmp",
    files._prefix(Path("file")) + "0a1b2c3d.tmp.old",
    files._prefix(Path("file")) + "0A1B2C3D.tmp",
    files._prefix(Path("other")) + "0a1b2c3d.tmp",
    files._prefix(Path("file.safetensors")) + "0a1b2c3d.tmp",
)


@pytest.mark.parametrize("keep", ["save", "checkpoint"])
def test_files_of_others_stay(keep, model, tmp_path):
    for name in OTHERS:
        (tmp_path / name).write_bytes(b"mine")
    for _ in range(2):
        if keep == "save":
            model.save(tmp_path / "file")
        else:
            small(VaDEClustering).fit(X, checkpoint=tmp_path / "file", checkpoint_interval=0)
    assert names(tmp_path) == sorted([*OTHERS, "file"])
    assert {(tmp_path / name).read_bytes() for name in OTHERS} == {b"mine"}


@posix
def test_what_only_has_the_name_of_a_temporary_stays(tmp_path):
    name, link, folder, pipe = temporaries(tmp_path / "file", 4)
    for path in (link, folder, pipe):
        path.unlink()
    folder.mkdir()
    os.mkfifo(pipe)
    (tmp_path / "target").write_bytes(b"mine")
    link.symlink_to(tmp_path / "target")
    save(tmp_path / "file")
    assert not name.exists()
    assert names(tmp_path) == sorted(["file", "target", link.name, folder.name, pipe.name])


@pytest.mark.parametrize("keep", ["save", "checkpoint"])
def test_what_a_killed_write_left_is_removed(keep, model, tmp_path):
    temporaries(tmp_path / "file", 3)
    if keep == "save":
        model.save(tmp_path / "file")
    else:
        small(VaDEClustering).fit(X, checkpoint=tmp_path / "file")
    assert names(tmp_path) == ["file"]


@posix
def test_a_process_that_is_killed_leaves_the_older_file_and_no_lock(tmp_path):
    write(tmp_path / "file", "test", {"a": 1})
    script = f"""
import os, signal
from skvade.persistence import files
with files.replacing({str(tmp_path / "file")!r}) as file:
    file.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script])
    assert done.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    assert read(tmp_path / "file", "test") == {"a": 1}
    save(tmp_path / "file")
    assert names(tmp_path) == ["file"]


def test_a_write_in_progress_stays(tmp_path):
    """Of another process, and of this one."""
    place = tmp_path / "file"
    script = f"""
import sys
from skvade.persistence import files
with files.replacing({str(place)!r}) as file:
    file.write(b"theirs")
    print("begun", flush=True)
    sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], text=True, **pipes) as process:
        assert process.stdout.readline() == "begun\n"
        save(place)
        assert len(names(tmp_path)) == 2
        process.stdin.close()
        assert process.wait() == 0
    assert place.read_bytes() == b"theirs"
    with files.replacing(str(place)) as file:
        save(place)
        file.write(b"ours")
    assert place.read_bytes() == b"ours"
    assert names(tmp_path) == ["file"]


@posix
def test_a_temporary_is_held_until_it_has_its_name(tmp_path, monkeypatch):
    replace = os.replace

    def late(temporary, place):
        files.remove_left(place)
        replace(temporary, place)

    monkeypatch.setattr(os, "replace", late)
    save(tmp_path / "file")
    assert read(tmp_path / "file", "test") == {"a": 2}


@posix
def test_a_temporary_that_is_removed_before_it_is_held_is_made_again(tmp_path, monkeypatch):
    lock, removed = files._lock, []

    def removed_first(descriptor, wait):
        if wait and not removed:
            removed.extend(tmp_path.glob(".skvade-*"))
            files.remove_left(tmp_path / "file")
        return lock(descriptor, wait)

    monkeypatch.setattr(files, "_lock", removed_first)
    save(tmp_path / "file")
    assert len(removed) == 1
    assert read(tmp_path / "file", "test") == {"a": 2}
    assert names(tmp_path) == ["file"]


@posix
def test_file_systems_without_locks(tmp_path, monkeypatch):
    def fail(descriptor, operation):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(files.fcntl, "flock", fail)
    (left,) = temporaries(tmp_path / "file")
    save(tmp_path / "file")
    assert read(tmp_path / "file", "test") == {"a": 2}
    assert names(tmp_path) == sorted(["file", left.name])  # which may be a write in progress


def test_threads_may_write_one_file(tmp_path):
    errors = []

    def write_often(number):
        try:
            for _ in range(20):
                write(tmp_path / "file", "test", {"a": number})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write_often, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert read(tmp_path / "file", "test")["a"] in range(4)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 127, "[x]*?", " ", "-", ".hidden"])
def test_names_of_any_kind_and_length(name, tmp_path):
    save(tmp_path / name)
    temporaries(tmp_path / name)
    save(tmp_path / name)
    assert read(tmp_path / name, "test") == {"a": 2}
    assert names(tmp_path) == [name]


# ------------------------------------------------------------------------------ what is no file


def kinds(folder):
    """The names of things that are no regular files, each with what messages call it."""
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "link to a pipe").symlink_to(folder / "pipe")
    (folder / "link to a folder").symlink_to("folder")
    (folder / "out").symlink_to("/dev/stdout")
    return {
        "folder": "a folder",
        "link to a folder": "a folder",
        "folder/": "a folder",
        "folder/.": "a folder",
        "nothing/": "a folder",
        "nothing/..": "a folder",
        "pipe": "a named pipe",
        "link to a pipe": "a named pipe",
        "socket": "a socket",
        "out": "that of a device or an open file",
        "/dev/null": "that of a device or an open file",
        "/dev/nothing": "that of a device or an open file",
        "/dev/stdout": "that of a device or an open file",
        "/dev/fd/77": "that of a device or an open file",
    }


@pytest.fixture
def things(tmp_path, monkeypatch):
    """A folder with such things, one of which leads to a regular file that is open."""
    monkeypatch.chdir(tmp_path)
    found = kinds(tmp_path)
    with socket.socket(socket.AF_UNIX) as one, open("log", "w") as log:
        one.bind("socket")
        print("printed", end="", file=log, flush=True)
        for folder in ("/dev/fd", "/proc/self/fd"):
            found[f"{folder}/{log.fileno()}"] = "that of a device or an open file"
        yield found


USES = {
    "save": (lambda model, path: model.save(path), "path"),
    "load": (lambda model, path: load(path), "path"),
    "checkpoint": (lambda model, path: small(VaDEClustering).fit(X, checkpoint=path), "checkpoint"),
}


@linux
@pytest.mark.parametrize("use", USES)
def test_what_is_no_regular_file_is_refused_and_left(use, things, model, tmp_path):
    """Nothing is trained first, and nobody waits for the other end of a pipe."""
    call, argument = USES[use]
    for name, kind in things.items():
        before = names(tmp_path)
        message = f"{argument}={name!r} is not the name of a file but {kind}"
        with pytest.raises(ValueError, match=re.escape(message) + ".*; pass that of a regular"):
            call(model, name)
        assert names(tmp_path) == before
    assert (tmp_path / "log").read_bytes() == b"printed"
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@linux
def test_devices_stay(model, tmp_path):
    try:
        os.mknod(tmp_path / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("devices can be made by the administrator only")
    for call, _ in USES.values():
        with pytest.raises(ValueError, match="is not the name of a file but a character device"):
            call(model, tmp_path / "null")
    assert stat.S_ISCHR((tmp_path / "null").stat().st_mode)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("value", ["", b"", "a\0b", b"a\0b", "a\ud800b"], ids=repr)
def test_names_that_are_none(value, use, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, argument = USES[use]
    with pytest.raises(ValueError, match=f"{argument}=.* is not the name of a file .*pass one"):
        call(model, value)
    assert not names(tmp_path)


@pytest.mark.parametrize("use", USES)
def test_what_is_no_path(use, model, tmp_path):
    call, argument = USES[use]
    with open(tmp_path / "file", "w+b") as file:
        for value in (file, 3, True, 1.5, ["file"], object, X):
            message = f"{argument} must be a path, of type str, .* pass the name of a file"
            with pytest.raises(TypeError, match=f"(?s){message}"):
                call(model, value)
    if use != "checkpoint":
        with pytest.raises(TypeError, match="path must be a path.* got None of type NoneType"):
            call(model, None)
    assert (tmp_path / "file").read_bytes() == b""


class Named:
    def __init__(self, name):
        self.name = name

    def __fspath__(self):
        return self.name


@posix
@pytest.mark.parametrize("kind", [str, os.fsencode, Path, Named, lambda n: Named(os.fsencode(n))])
def test_paths_of_any_type(kind, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save(kind("model"))
    np.testing.assert_array_equal(load(kind("model")).labels_, model.labels_)
    small(VaDEClustering, max_iter=1).fit(X, checkpoint=kind("fit"))
    assert names(tmp_path) == ["fit", "model"]
    (tmp_path / "other").write_bytes(b"mine")
    with pytest.raises(ValueError, match="^other is not a safetensors file"):
        load(kind("other"))
    with pytest.raises(FileNotFoundError):
        load(kind("nothing"))


@posix
def test_names_that_are_no_text(model, tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR))
    except OSError:
        pytest.skip("this system takes text only")
    model.save(path)
    np.testing.assert_array_equal(load(path).labels_, model.labels_)


# ------------------------------------------------------------------------------ as numpy.save does


def test_folders_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        save(tmp_path / "no" / "file")
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(OSError):
        save(tmp_path / "file" / "file")
    assert names(tmp_path) == ["file"]


@posix
def test_links_are_followed(tmp_path):
    """Also to files that are not there yet, and by way of others."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/file")
    (tmp_path / "link to the link").symlink_to(tmp_path / "link")
    (tmp_path / "link to the folder").symlink_to(tmp_path / "folder")
    for link in ("link", "link to the link", "link to the folder/file"):
        temporaries(tmp_path / "folder" / "file")
        save(tmp_path / link)
        assert names(tmp_path / "folder") == ["file"]
        assert read(tmp_path / link, "test") == {"a": 2}
        (tmp_path / "folder" / "file").unlink()
    assert all((tmp_path / link).is_symlink() for link in ("link", "link to the link"))
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        save(tmp_path / "loop")
    assert (tmp_path / "loop").is_symlink()


@linux
def test_shared_memory_is_a_folder():
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is none here")
    path = Path(f"/dev/shm/skvade-test-{os.getpid()}")
    try:
        save(path)
        assert read(path, "test") == {"a": 2}
    finally:
        path.unlink(missing_ok=True)


@posix
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o604, 0o777])
def test_the_mode_of_a_file_is_kept(mode, tmp_path, monkeypatch):
    """From the first byte on."""
    write(tmp_path / "file", "test", {"a": 1})
    (tmp_path / "file").chmod(mode)
    fsync, modes = os.fsync, []

    def note(descriptor):
        modes.extend(path.stat().st_mode for path in tmp_path.glob(".skvade-*"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    save(tmp_path / "file")
    assert [stat.S_IMODE(mode) for mode in modes[:1]] == [mode]
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode
    assert read(tmp_path / "file", "test") == {"a": 2}


@posix
def test_new_files_have_the_mode_of_new_files(tmp_path):
    (tmp_path / "new").touch()
    save(tmp_path / "file")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "new").stat().st_mode


def as_nobody(script):
    """Run a script without the administrator's rights."""
    drop = "import os\nif os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
    done = subprocess.run([sys.executable, "-c", script.replace("DROP", drop)], text=True)
    return done.returncode


@posix
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_protected_stays(what, tmp_path):
    """A file that may be read only, and one in a folder that may."""
    (tmp_path / "folder").mkdir(mode=0o777)
    file = tmp_path / "folder" / "file"
    write(file, "test", {"a": 1})
    file.chmod(0o444 if what == "file" else 0o666)
    (tmp_path / "folder").chmod(0o777 if what == "file" else 0o555)
    script = f"""
import os
from skvade.persistence.container import write
os.chdir({str(tmp_path / "folder")!r})  # above it, nobody else may look
DROP
try:
    write("file", "test", {{"a": 2}})
except PermissionError:
    raise SystemExit(7)
"""
    assert as_nobody(script) == 7
    (tmp_path / "folder").chmod(0o777)
    assert read(file, "test") == {"a": 1}
    assert names(tmp_path / "folder") == ["file"]
