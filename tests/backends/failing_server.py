"""Backends that fail, one way each: python3 failing_server.py MODE [FOLDER].

A mode fails in the first run of its life; a file in FOLDER remembers, so that a server that is started anew works.
Where no folder is given it fails always. All of them answer with one part per batch entry.
"""

import array
import json
import math
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "backends"))

from emulator_server import EmulatorServer
from protocol import FORMAT, TYPES, Refused, serve, write_message

KEPT = 2  # batch entries that are sent before it fails


class Early(Exception):
    """The result comes before all batch entries were sent."""


class FailingServer(EmulatorServer):
    """Runs like the emulator until it has sent `KEPT` batch entries."""

    def __init__(self, mode, folder):
        super().__init__()
        self.mode = mode
        self.mark = Path(folder, f"{mode}.failed") if folder else None
        self.fails = self.mark is None or not self.mark.exists()

    def remember(self):
        if self.mark is not None:
            self.mark.touch()
            self.fails = False

    def line(self, text):
        self.stream.write(text.encode() + b"\n")
        self.stream.flush()

    def compile(self, program, request, blobs):
        if self.fails and self.mode == "refuses_compile":
            self.remember()
            raise Refused("no calibration\nfor this chip")
        if self.fails and self.mode == "dies_in_compile":
            self.remember()
            print("no licence left", file=sys.stderr, flush=True)
            os._exit(4)
        return super().compile(program, request, blobs)

    def health(self):
        if self.mode == "unhealthy":
            raise Refused("the chip does not answer")
        return {"status": "ready", "chip": "none"}

    def run_entry(self, network, request, blobs, events, b):
        if self.fails and b == KEPT:
            self.remember()
            self.network, self.request, self.b = network, request, b
            getattr(self, self.mode)()
            time.sleep(0.2)  # it is ended meanwhile
        else:
            super().run_entry(network, request, blobs, events, b)

    def run(self, program, request, blobs):
        try:
            return super().run(program, request, blobs)
        except Early:
            return {"target": "emulator ideal"}, {}

    # ---- ends and silence --------------------------------------------------------------------------------------------

    def dies(self):
        print("link lost:\nno answer from the FPGA", file=sys.stderr, flush=True)
        os._exit(3)

    def killed(self):
        os.kill(os.getpid(), 9)

    def dies_in_a_blob(self):
        self.head("part", first=self.b, count=1, blobs=self.declared())
        self.stream.write(b"\1\2\3")
        self.stream.flush()
        os._exit(0)

    def closes_its_output(self):
        self.stream.close()
        os.close(1)
        time.sleep(600)

    def silent(self):
        self.report("waiting for the chip")
        time.sleep(600)

    def drips(self):
        while True:
            self.stream.write(b" ")
            self.stream.flush()
            time.sleep(0.05)

    def refuses(self):
        raise Refused("the chip is busy\nuntil noon")

    def partly(self):
        raise Early

    # ---- nonsense ----------------------------------------------------------------------------------------------------

    def head(self, message, **fields):
        self.line(json.dumps({"format": FORMAT, "version": 1, "message": message, **fields}))

    def declared(self, change=None):
        """What a right part declares, changed."""
        blobs = []
        for population in self.network.populations:
            if population.fires:
                blobs.append({"name": "spikes/" + population.name, "type": "i32", "shape": [0, 3]})
            for kind in ("membrane", "current"):
                if population.name in self.request["record_" + kind]:
                    shape = [self.request["steps"], 1, population.size]
                    blobs.append({"name": f"{kind}/{population.name}", "type": "f32", "shape": shape})
            shape = [population.state_rows, 1, population.size]
            blobs.append({"name": "state/" + population.name, "type": "f32", "shape": shape})
        if change is not None:
            change(blobs)
        return blobs

    def wrong(self, change=None, content=None, **fields):
        """A part that is right but for what is given; whatever comes after it is right."""
        sent = {}
        for blob in self.declared(change):
            elements = array.array(TYPES[blob["type"]], [0] * min(math.prod(blob["shape"]), 10**6))
            sent[blob["name"]] = [blob["type"], blob["shape"], elements]
        if content is not None:
            content(sent)
        write_message(self.stream, "part", sent, **{"first": self.b, "count": 1, **fields})

    def spiking(self):
        return next(p for p in self.network.populations if p.fires)

    def events(self, *events):
        def change(sent):
            sent["spikes/" + self.spiking().name][1:] = [(len(events), 3), array.array("i", sum(events, ()))]

        self.wrong(content=change)

    def garbage(self):
        self.stream.write(bytes(range(256)) * 3 + b"\n")
        self.stream.flush()

    def no_json(self):
        self.line("Traceback (most recent call last):")

    def other_format(self):
        self.line('{"format": "HTTP/1.1", "version": 1, "message": "part", "blobs": []}')

    def other_version(self):
        self.line('{"format": "gradspike.backend", "version": 2, "message": "part", "blobs": []}')

    def nested(self):
        self.line("[" * 100000)

    def endless_line(self):
        try:
            while True:
                self.stream.write(b"x" * 65536)
        except BrokenPipeError:
            os._exit(0)

    def other_message(self):
        self.line('{"format": "gradspike.backend", "version": 1, "message": "bonjour", "blobs": []}')

    def unknown_field(self):
        self.wrong(colour="red")

    def huge_blob(self):
        self.wrong(lambda blobs: blobs[0].update(shape=[2**31 - 1, 3]))

    def overflowing_blob(self):
        self.wrong(lambda blobs: blobs[0].update(shape=[2**31 - 1, 2**31 - 1, 2**31 - 1]))

    def negative_shape(self):
        self.head("part", first=self.b, count=1, blobs=self.declared(lambda blobs: blobs[0].update(shape=[-1, 3])))

    def unknown_population(self):
        self.wrong(lambda blobs: blobs[0].update(name="spikes/layer9"))

    def unasked_blob(self):
        self.wrong(lambda blobs: blobs.append({"name": "madc", "type": "i16", "shape": [4, 1]}))

    def missing_blob(self):
        self.wrong(lambda blobs: blobs.pop(0))

    def wrong_type(self):
        self.wrong(lambda blobs: blobs[0].update(type="f32"))

    def wrong_shape(self):
        self.wrong(lambda blobs: blobs[-1].update(shape=[1, 1, 1]))

    def not_a_number(self):
        def change(sent):
            name = next(name for name in sent if name.startswith("membrane/"))
            sent[name][2][0] = float("nan")

        self.wrong(content=change)

    def step_out_of_range(self):
        self.events((self.request["steps"], self.b, 0))

    def negative_neuron(self):
        self.events((0, self.b, -1))

    def other_entry(self):
        self.events((0, self.b + 1, 0))

    def twice(self):
        self.events((0, self.b, 0), (0, self.b, 0))

    def disordered(self):
        self.events((1, self.b, 0), (0, self.b, 0))

    def entry_twice(self):
        self.wrong(first=0)

    def entry_out_of_range(self):
        self.wrong(first=self.request["batch"])

    def negative_counter(self):
        self.wrong(counters={"spikes_on_chip": -1})

    def unknown_counter(self):
        self.wrong(counters={"spikes_on_chips": 1})

    def huge_counter(self):
        self.wrong(losses={"link": 2**63})

    def infinite_timing(self):
        self.line('{"format": "gradspike.backend", "version": 1, "message": "result", "timing": {"chip": 1e999}}')

    def no_target(self):
        self.head("result", target="", blobs=[])


def greets_wrongly(mode):
    sys.stdin.buffer.readline()
    answers = {
        "hello_garbage": {"welcome": "to the chip"},
        "hello_version": {"format": FORMAT, "version": 7, "message": "hello", "name": "x"},
        "hello_refused": {"format": FORMAT, "version": 1, "message": "error", "error": "no chip is attached"},
    }
    print(json.dumps(answers[mode]), flush=True)
    sys.stdin.buffer.read()


def main():
    mode, folder = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    if mode == "exits":
        print("cannot find the chip", file=sys.stderr)
        sys.exit(7)
    if mode == "deaf":
        time.sleep(600)
    if mode.startswith("hello_"):
        greets_wrongly(mode)
    else:
        serve(FailingServer(mode, folder))


if __name__ == "__main__":
    main()
