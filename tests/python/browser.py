"""A headless Chromium that a test drives: the DevTools protocol over pipes, without any further package."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Optional

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 120

# The browser reads commands from descriptor 3 and answers on 4.
LAUNCH = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(pipe), fcntl.F_DUPFD, 10) for pipe in sys.argv[1:3]]
for place, pipe in enumerate(pipes, start=3):
    os.dup2(pipe, place)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find() -> Optional[str]:
    """Path of a Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One page in one browser; a context manager that ends it."""

    def __init__(self, profile: Path) -> None:
        down, up = os.pipe(), os.pipe()
        command = [
            sys.executable, "-c", LAUNCH, f"{down[0]}", f"{up[1]}", str(find()), "--headless=new",
            "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", "--hide-scrollbars", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, pass_fds=(down[0], up[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._limit = threading.Timer(SECONDS, self._process.kill)  # a read of a browser that hangs would wait for ever
        self._limit.start()
        os.close(down[0])
        os.close(up[1])
        self._down, self._up = os.fdopen(down[1], "wb"), os.fdopen(up[0], "rb")
        self._count = 0
        self._session: Optional[str] = None
        self.messages: list[dict[str, Any]] = []
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the browser."""
        self._limit.cancel()
        self._process.terminate()
        self._process.wait(SECONDS)
        self._up.close()
        with contextlib.suppress(BrokenPipeError):
            self._down.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends one command and waits for its answer; events in between are kept in `messages`."""
        self._count += 1
        request = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            request["sessionId"] = self._session
        self._down.write(json.dumps(request).encode() + b"\0")
        self._down.flush()
        while True:
            message = self._receive()
            if message.get("id") == self._count:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self.messages.append(message)

    def _receive(self) -> dict[str, Any]:
        text = bytearray()
        while (character := self._up.read(1)) != b"\0":
            assert character, "the browser ended"
            text += character
        return json.loads(text)

    def open(self, page: Path, width: int = 1280, height: int = 900, dark: bool = False, ratio: float = 1.0) -> None:
        """Opens a file in a window of this size and waits until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=ratio,
            mobile=width < 700,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.messages.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(message.get("method") == "Page.loadEventFired" for message in self.messages):
            self.messages.append(self._receive())

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def mouse(self, x: float, y: float, click: bool = False) -> None:
        """Moves the pointer, and presses the left button where asked for."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased") if click else ():
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def key(self, name: str) -> None:
        """Presses a key, such as "Enter"."""
        text = {"text": "\r"} if name == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, code=name, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name, code=name)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """Writes the window, or the whole page, as PNG."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[dict[str, Any]]:
        """Errors on the console, exceptions and requests beyond the page itself."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Network.requestWillBeSent")
        seen = [message for message in self.messages if message.get("method") in kinds]
        return [message for message in seen if message["params"].get("type") != "Document"]

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()
