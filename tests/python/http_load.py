"""A small asynchronous HTTP client for load, faults and measurements on loopback: what it sends and when it leaves is exactly what the
test says. Standard library only.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
import time


class Connection:
    """One keep-alive connection. Every wait is bounded by `patience` seconds."""

    def __init__(self, port, patience=120):
        self.port, self.patience = port, patience
        self.reader = self.writer = None

    async def __aenter__(self):
        self.reader, self.writer = await self._bounded(asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20))
        return self

    async def __aexit__(self, *_):
        self.writer.close()
        with contextlib.suppress(Exception):
            await self.writer.wait_closed()

    async def _bounded(self, work):
        return await asyncio.wait_for(work, self.patience)

    async def send(self, method, path, body=None, headers=()):
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        await self._bounded(self.writer.drain())

    async def head(self):
        """(status, fields) of the next answer."""
        line = await self._bounded(self.reader.readline())
        if not line:
            raise ConnectionError("closed before an answer")
        fields = {}
        while (field := await self._bounded(self.reader.readline())) not in (b"\r\n", b"\n", b""):
            name, _, value = field.decode("latin1").partition(":")
            fields[name.strip().lower()] = value.strip()
        return int(line.split()[1]), fields

    async def pieces(self, fields):
        """The body as it comes."""
        if "chunked" in fields.get("transfer-encoding", ""):
            while size := int(await self._bounded(self.reader.readline()), 16):
                yield await self._bounded(self.reader.readexactly(size))
                await self._bounded(self.reader.readline())
            await self._bounded(self.reader.readline())
        elif size := int(fields.get("content-length", 0)):
            yield await self._bounded(self.reader.readexactly(size))

    async def exchange(self, method, path, body=None, headers=()):
        """(status, fields, whole body)."""
        await self.send(method, path, body, headers)
        status, fields = await self.head()
        return status, fields, b"".join([piece async for piece in self.pieces(fields)])

    def reset(self):
        """Leaves with RST."""
        self.writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def ask(port, path, body, headers=(), patience=120):
    """One request on its own connection: (status, fields, JSON)."""
    async with Connection(port, patience) as connection:
        status, fields, data = await connection.exchange("POST", path, body, headers)
        return status, fields, json.loads(data)


class Stream:
    """A streamed answer: the times and texts of its pieces, how it ended."""

    def __init__(self):
        self.status, self.fields = 0, {}
        self.times, self.text, self.done, self.finish_reason, self.error, self.usage = [], "", False, None, None, None
        self.first_s = None

    def gaps(self):
        return [later - earlier for earlier, later in zip(self.times, self.times[1:])]


async def stream(port, path, body, patience=120, on_piece=None):
    """Reads a streamed completion or chat to its end."""
    out = Stream()
    async with Connection(port, patience) as connection:
        began = time.perf_counter()
        await connection.send("POST", path, {**body, "stream": True})
        out.status, out.fields = await connection.head()
        held = b""
        async for data in connection.pieces(out.fields):
            now = time.perf_counter()
            held += data
            if out.status != 200:
                continue
            *events, held = held.split(b"\n\n")
            for event in events:
                if not event.startswith(b"data: "):
                    continue
                if event == b"data: [DONE]":
                    out.done = True
                    continue
                value = json.loads(event[6:])
                if "error" in value:
                    out.error = value["error"]
                    continue
                out.usage = value.get("usage") or out.usage
                for choice in value["choices"]:
                    text = choice.get("text") or choice.get("delta", {}).get("content") or ""
                    out.finish_reason = choice["finish_reason"] or out.finish_reason
                    if text:
                        out.first_s = out.first_s or now - began
                        out.times.append(now)
                        out.text += text
                        if on_piece:
                            on_piece()
        if out.status != 200:
            out.error = json.loads(held)["error"]
    return out


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def settled(port, seconds=1.0):
    """Waits until the server has nothing running, nothing waiting and all blocks free; returns the seconds that took."""
    began = time.perf_counter()
    async with Connection(port) as connection:
        while True:
            _, _, data = await connection.exchange("GET", "/health")
            health = json.loads(data)
            passed = time.perf_counter() - began
            if health["running"] == health["waiting"] == 0 and health["free_blocks"] == health["total_blocks"]:
                return passed
            assert passed < seconds, f"after {passed:.1f} s: {health}"
            await asyncio.sleep(0.01)
