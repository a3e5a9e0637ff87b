"""Drives headless Chromium over its debugging protocol: one command per line on standard input, one answer per line.

open URL           goes there
eval EXPRESSION    the value of an expression, as JSON
click SELECTOR     the mouse is pressed in the middle of the first element that matches
press KEY          a key is pressed: Tab, Enter, Escape, or a letter
shot WIDTH HEIGHT light|dark FILE   a picture of the page
"""

import asyncio
import base64
import json
import subprocess
import sys
import tempfile
import time
import urllib.request

import websockets

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--force-prefers-reduced-motion", "--hide-scrollbars", "--remote-debugging-port=0", "about:blank",
]
CODES = {"Tab": 9, "Enter": 13, "Escape": 27}


class Browser:
    def __init__(self, socket):
        self.socket, self.number = socket, 0

    async def call(self, method, **parameters):
        self.number += 1
        await self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(await self.socket.recv())
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(answer["error"]["message"])
                return answer["result"]

    async def value(self, expression):
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", "an exception"))
        return answer["result"].get("value")

    async def obey(self, line):
        word, _, rest = line.partition(" ")
        if word == "open":
            url, _, authorization = rest.partition(" ")
            await self.call("Network.enable")
            if authorization:
                await self.call("Network.setExtraHTTPHeaders", headers={"Authorization": authorization})
            await self.call("Page.navigate", url=url)
        elif word == "eval":
            return await self.value(rest)
        elif word == "click":
            place = await self.value(
                "(() => { const e = document.querySelector(%s); if (!e) return null; e.scrollIntoView({block: 'center'});"
                " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()" % json.dumps(rest)
            )
            if place is None:
                raise RuntimeError("nothing matches " + rest)
            for kind in ("mousePressed", "mouseReleased"):
                await self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)
        elif word == "press":
            key = dict(key=rest, windowsVirtualKeyCode=CODES.get(rest, ord(rest[0].upper())))
            if rest == "Enter":
                key["text"] = "\r"
            elif len(rest) == 1:
                key["text"] = rest
            await self.call("Input.dispatchKeyEvent", type="keyDown", **key)
            await self.call("Input.dispatchKeyEvent", type="keyUp", **key)
        elif word == "shot":
            width, height, theme, file = rest.split(" ", 3)
            await self.call("Emulation.setDeviceMetricsOverride", width=int(width), height=int(height),
                            deviceScaleFactor=1, mobile=False)
            await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            # The next drawing has both.
            await self.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")
            picture = await self.call("Page.captureScreenshot", format="png")
            with open(file, "wb") as out:
                out.write(base64.b64decode(picture["data"]))
        else:
            raise RuntimeError("unknown: " + word)


def page_of(folder):
    """The address of the first page, once the browser has said its port."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with open(folder + "/DevToolsActivePort") as file:
                port = int(file.readline())
            with urllib.request.urlopen("http://127.0.0.1:%d/json" % port, timeout=5) as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            return pages[0]["webSocketDebuggerUrl"]
        except (OSError, ValueError, IndexError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


async def main():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = subprocess.Popen(["chromium", "--user-data-dir=" + folder, *FLAGS], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            async with websockets.connect(page_of(folder), max_size=64 << 20, ping_interval=None) as socket:
                obedient = Browser(socket)
                loop = asyncio.get_running_loop()
                while line := await loop.run_in_executor(None, sys.stdin.readline):
                    try:
                        answer = {"value": await obedient.obey(line.rstrip("\n"))}
                    except RuntimeError as error:
                        answer = {"error": str(error)}
                    print(json.dumps(answer), flush=True)
        finally:
            browser.terminate()
            browser.wait()


asyncio.run(main())
