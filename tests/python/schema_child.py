"""A running `lancet schema`: one JSON line in, one out, with the time and memory that it has taken."""
import json
import os
import select
import subprocess
import time
from pathlib import Path


class SchemaChild:
    def __init__(self, binary, model, *flags):
        command = [str(binary), "schema", "-m", str(model), *flags]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.rest = b""
        self.ask({"regex": "a"}, seconds=60)  # the first answer waits for the vocabulary

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(20) == 0

    def ask(self, line, seconds=20):
        """The answer; AssertionError if the process ends or takes longer."""
        data = (line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode()) + b"\n"
        started = time.monotonic()
        self.write(data, started + seconds)
        while b"\n" not in self.rest:
            left = started + seconds - time.monotonic()
            ready = left > 0 and select.select([self.process.stdout], [], [], left)[0]
            assert ready, f"no answer in {seconds} s to {data[:200]}"
            chunk = os.read(self.process.stdout.fileno(), 1 << 20)
            assert chunk, f"the process ended with {self.process.wait(5)} on {data[:200]}"
            self.rest += chunk
        answer, self.rest = self.rest.split(b"\n", 1)
        return json.loads(answer)

    def write(self, data, deadline):
        """All of it; a pipe takes less than a long line."""
        view = memoryview(data)
        while view and time.monotonic() < deadline:
            view = view[self.process.stdin.write(view):]

    def memory_kib(self, field="VmRSS"):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field + ":"))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
