"""Starts a command, waits until a file appears, sends a signal. Arguments: signal, file, exit code wanted, command.

The file is the temporary output: the work is under way. Work that is over before the signal comes is begun again.
"""
import os
import signal
import subprocess
import sys
import time

number = getattr(signal, sys.argv[1])
temporary, wanted, command = sys.argv[2], int(sys.argv[3]), sys.argv[4:]
for attempt in range(50):
    # the shell that runs the tests may ignore SIGINT for what it starts in the background
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    deadline = time.monotonic() + 60
    while process.poll() is None and not os.path.exists(temporary) and time.monotonic() < deadline:
        pass
    if process.poll() is None:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    if process.returncode == wanted:
        break
    if process.returncode != 0:
        sys.exit(f"exit {process.returncode}, wanted {wanted}: {errors.decode(errors='replace')}")
else:
    sys.exit("the work was always over before the signal came")
if os.path.exists(temporary) and wanted != -signal.SIGKILL:
    sys.exit(f"{temporary} is left")
