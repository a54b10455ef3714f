"""Stands for a Python program that is forked from server.py: `python -IS client.py SOCKET PROGRAM [ARGUMENT ...]`.

It has the program's streams and exit code, and passes signals on. Standard library only, and little of it.
"""

# mypy: ignore-errors
# It runs in an environment of MassGen.

import json
import os
import signal
import socket
import sys

connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
program = {"words": sys.argv[2:], "environment": dict(os.environ), "directory": os.getcwd()}
message = json.dumps(program).encode() + b"\n"
sent = socket.send_fds(connection, [message], [0, 1, 2])
connection.sendall(message[sent:])
answers = connection.makefile()
pid = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, lambda number, _frame: os.kill(pid, number))
code = int(answers.readline())
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
