"""Version 1 of the message format gradspike.backend for a server in Python; the standard library is enough.

A message is one line of JSON and then the bytes of the blobs that the line declares. docs/backend-protocol.md has all
of it. A server is `serve(handler)`: an object with the methods of `Handler`.
"""

import array
import json
import math
import os
import struct
import sys
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Sequence, Tuple

FORMAT = "gradspike.backend"
VERSION = 1

# Blob type, and the type code of `array` that has its width.
TYPES = {"u8": "B", "i16": "h", "i32": "i", "f32": "f", "f64": "d"}

# Rows of the table of coefficients of a population; a leaky integrator has the first four.
LIF_ROWS = ("input_gain", "leak_conductance", "current_decay", "leak", "reset", "threshold", "refractory_steps")

Blob = Tuple[str, Sequence[int], array.array]  # type, shape, elements in row-major order


class Refused(Exception):
    """Raised by a handler to decline a request with one sentence."""


def read_message(stream: BinaryIO) -> Optional[Tuple[Dict[str, Any], Dict[str, Blob]]]:
    """The next message and its blobs by name; None at the end of the stream."""
    line = stream.readline()
    if not line:
        return None
    head = json.loads(line)
    if head["format"] != FORMAT or head["version"] != VERSION:
        raise Refused(f"this server speaks {FORMAT} version {VERSION}")
    blobs = {}
    for declared in head["blobs"]:
        elements = array.array(TYPES[declared["type"]])
        elements.frombytes(stream.read(math.prod(declared["shape"]) * elements.itemsize))
        if sys.byteorder == "big":
            elements.byteswap()
        blobs[declared["name"]] = (declared["type"], declared["shape"], elements)
    return head, blobs


def write_message(stream: BinaryIO, message: str, blobs: Optional[Dict[str, Blob]] = None, **fields: Any) -> None:
    """Writes one message and sends it off."""
    declared = [{"name": name, "type": kind, "shape": list(shape)} for name, (kind, shape, _) in (blobs or {}).items()]
    head = {"format": FORMAT, "version": VERSION, "message": message, "blobs": declared, **fields}
    stream.write(json.dumps(head, allow_nan=False).encode() + b"\n")
    for _, _, elements in (blobs or {}).values():
        if sys.byteorder == "big":
            elements = elements[:]
            elements.byteswap()
        stream.write(elements.tobytes())
    stream.flush()


def float_of_bits(bits: int) -> float:
    """A float32 of the network description."""
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])


def double_of_bits(bits: int) -> float:
    """A float64 of the network description."""
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def events_blob(events: Sequence[Tuple[int, int, int]]) -> Blob:
    """Spikes (step, batch entry, neuron), put in the order that the format asks for."""
    ordered = sorted(events, key=lambda event: (event[1], event[0], event[2]))
    return "i32", (len(ordered), 3), array.array("i", [number for event in ordered for number in event])


def rows_of(blob: Blob) -> Iterator[List[int]]:
    """Rows of a two-dimensional blob."""
    _, (count, width), elements = blob
    for row in range(count):
        yield list(elements[row * width : (row + 1) * width])


def integers_of(blob: Blob) -> Tuple[int, int, List[int]]:
    """Rows, columns and weights [LSB], row-major, of the record of a projection."""
    record = blob[2].tobytes()
    if record[:4] != b"GSW1":
        raise Refused("the integers of a projection do not begin with GSW1")
    bits, rows, columns = (int.from_bytes(record[a:b], "little") for a, b in ((4, 8), (8, 16), (16, 24)))
    values = array.array("b" if bits == 8 else "h")
    values.frombytes(record[32:])
    if sys.byteorder == "big":
        values.byteswap()
    return rows, columns, values.tolist()


class Handler:
    """What a server does with each request. A method raises `Refused` to decline; `report` sends a progress message."""

    name = "server"
    updates = False

    def __init__(self) -> None:
        self.stream: Optional[BinaryIO] = None

    def report(self, text: str) -> None:
        """Tells that the work goes on: the wait for the next message begins anew."""
        write_message(self.stream, "progress", text=text)

    def part(self, first: int, count: int, blobs: Dict[str, Blob], **fields: Any) -> None:
        """Sends batch entries that are complete; what was sent survives whatever happens next."""
        write_message(self.stream, "part", blobs, first=first, count=count, **fields)

    def greet(self) -> None:
        """The first call: the place to look for the chip, and to raise `Refused` where there is none."""

    def health(self) -> Dict[str, str]:
        return {"status": "ready"}

    def compile(self, program: int, request: Dict[str, Any], blobs: Dict[str, Blob]) -> str:
        """Keeps a network under the number `program`; returns the target, such as the name of a chip."""
        raise NotImplementedError

    def update(self, program: int, previous: int, blobs: Dict[str, Blob]) -> None:
        """The network of `previous` with other integers; only called where `updates` is set."""
        raise NotImplementedError

    def forget(self, program: int) -> None:
        """Nobody will run this network again."""

    def run(
        self, program: int, request: Dict[str, Any], blobs: Dict[str, Blob]
    ) -> Tuple[Dict[str, Any], Dict[str, Blob]]:
        """Fields and blobs of the result, less what was sent with `part`."""
        raise NotImplementedError

    def close(self) -> None:
        """The last call."""


def answer(handler: Handler, stream: BinaryIO, head: Dict[str, Any], blobs: Dict[str, Blob]) -> None:
    """Answers one request."""
    message = head["message"]
    if message == "hello":
        handler.greet()
        write_message(stream, "hello", name=handler.name, updates=handler.updates)
    elif message == "health":
        write_message(stream, "health", health=handler.health())
    elif message == "compile":
        write_message(stream, "compiled", target=handler.compile(head["program"], head, blobs))
    elif message == "update":
        handler.update(head["program"], head["previous"], blobs)
        write_message(stream, "updated")
    elif message == "forget":
        handler.forget(head["program"])
    elif message == "run":
        fields, recorded = handler.run(head["program"], head, blobs)
        write_message(stream, "result", recorded, **fields)
    else:
        raise Refused(f"this server does not know the request {message!r}")


def serve(handler: Handler) -> None:
    """Answers requests on standard input until "goodbye" or the end.

    What the handler prints goes to standard error: one stray line on standard output would be taken for an answer.
    """
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    handler.stream = answers
    try:
        while True:
            try:
                request = read_message(requests)
                if request is None or request[0]["message"] == "goodbye":
                    return
                answer(handler, answers, *request)
            except Refused as reason:
                write_message(answers, "error", error=str(reason))
    finally:
        handler.close()
