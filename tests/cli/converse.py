"""A conversation of two messages with `lowp run --chat` on a pseudo terminal: each answer is the one that a run of the whole
text gives, so what the cache kept is right. Argument: a template that writes [role]content for each message."""
import os
import pty
import select
import subprocess
import sys

options = ["-n", "8", "--temperature", "0"]
command = ["lowp", "run", "embedded", "--chat-template", sys.argv[1], *options]
questions = ["The old house", "And then?"]

parent, child = pty.openpty()
process = subprocess.Popen(command, stdin=child, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
os.close(child)


def until_prompt():
    """stderr up to the next "> "."""
    seen = b""
    while not seen.endswith(b"> "):
        if not select.select([process.stderr], [], [], 60)[0]:
            sys.exit(f"no prompt: {seen}")
        part = os.read(process.stderr.fileno(), 1000)
        if not part:
            sys.exit(f"it ended: {seen}")
        seen += part


answers = []
until_prompt()
for question in questions:
    os.write(parent, question.encode() + b"\n")
    until_prompt()
    answers.append(os.read(process.stdout.fileno(), 1 << 16).decode()[:-1])
os.write(parent, b"\n")
rest, _ = process.communicate(timeout=60)
if process.returncode or rest:
    sys.exit(f"exit {process.returncode}, and more text: {rest}")

text = ""
for question, answer in zip(questions, answers):
    text += "[user]" + question
    wanted = subprocess.run(["lowp", "run", "embedded", "-p", text, *options, "-q"], stdout=subprocess.PIPE, check=True).stdout.decode()[:-1]
    if answer != wanted or not answer.strip():
        sys.exit(f"answered {answer!r}, the whole text gives {wanted!r}")
    text += "[assistant]" + answer
