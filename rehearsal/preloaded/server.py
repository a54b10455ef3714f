"""Loads the modules that standard input names, then forks for each client in the background: `python -I server.py SOCKET OWNER`.

It ends when the process with the id OWNER has ended. A client sends the words, the environment and the directory of a program with its own standard
streams; it gets the program's process id, and its exit code when it has ended. Standard library only, until the modules are loaded.
"""

# mypy: ignore-errors
# It runs in an environment of MassGen.

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import warnings


def load(names):
    """Import what can be imported; no warning of it is a run's."""
    gc.disable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            try:
                importlib.import_module(name)
            except Exception:  # noqa: BLE001 - a name that is no module's, or a module that another one makes
                continue
    gc.enable()
    gc.freeze()
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    assert not others, f"threads are at work, which a forked process would not have: {others}"


def serve(listener, owner):
    """Fork for each client; returns in the process that is to become the program, with what it is, and None in this one at the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while _lives(owner):
        if select.select([listener], [], [], 1.0)[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                return attend(connection)
            connection.close()
    return None


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def attend(connection):
    """Fork the program, tell its client how it goes, and end; returns in the program."""
    data, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    while not data.endswith(b"\n"):
        data += connection.recv(1 << 20)
    program = json.loads(data)
    child = os.fork()
    if child == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        return program
    for stream in (0, 1, 2, *streams):
        os.close(stream)
    connection.sendall(b"%d\n" % child)
    _, status = os.waitpid(child, 0)
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def become(program):
    """Be what a new interpreter would be that was started with these words."""
    os.chdir(program["directory"])
    os.environ.clear()
    os.environ.update(program["environment"])
    sys.argv[:] = program["words"]
    entries = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:0] = [os.path.dirname(sys.argv[0]), *entries]
    importlib.invalidate_caches()
    with contextlib.suppress(ModuleNotFoundError):  # as `site` does it at the start of an interpreter
        import sitecustomize  # noqa: F401


def main():
    """Load, and go on in the background."""
    address, owner = sys.argv[1:]
    load(json.load(sys.stdin))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(16)
    if os.fork():
        os._exit(0)
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    return serve(listener, int(owner))


if __name__ == "__main__":
    found = main()
    if found is not None:
        become(found)
        runpy.run_path(sys.argv[0], run_name="__main__")
