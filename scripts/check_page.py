"""Opens the page of `dht serve` in a headless Chromium: check_page.py BROWSER DHT MODEL [PICTURES]."""

import base64
import html
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

# What is typed has to stay text.
HOSTILE = '<img src=x onerror="document.title=1"><b>fine</b> & "food"'
TEXTS = ["The food was fine.", HOSTILE, "good \u00e9\u4e2d\U0001f600"]
SIZES = {"wide": (900, 1100), "narrow": (390, 1300)}


def chromium(browser, profile, url, *arguments):
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}",
               "--virtual-time-budget=8000", *arguments, url]
    return subprocess.run(command, check=True, capture_output=True, timeout=120, text=True)


def part(page, identifier):
    """The text of an element with this id that contains no element of its own name."""
    found = re.search(rf'<(\w+)[^>]*\bid="{identifier}"[^>]*>(.*?)</\1>', page, re.S)
    assert found, f"no element {identifier}"
    return html.unescape(re.sub(r"<[^>]*>", " ", found[2])).strip()


def check(browser, profile, address, text):
    url = f"{address}/#{urllib.parse.quote(text)}"
    page = chromium(browser, profile, url, "--dump-dom").stdout
    request = urllib.request.Request(f"{address}/v1/classify", json.dumps({"texts": [text], "explain": True}).encode(),
                                     {"Content-Type": "application/json"})
    answer = json.load(urllib.request.urlopen(request))["answers"][0]
    summary, labels = part(page, "summary"), part(page, "bars")
    assert summary.startswith(answer["label"] + ": "), summary
    assert all(label in labels for label in answer["probabilities"]), labels
    assert f"({answer['route']})" in part(page, "route"), part(page, "route")
    exits, words = part(page, "exits"), re.sub(r"\s+", " ", part(page, "words"))
    assert exits.count("stopped here") == 1 and exits.count("%") >= 2 * len(answer["exits"]), exits
    assert all(word in words for word in text.split()), words
    assert "time of all layers" in part(page, "costs"), part(page, "costs")
    assert answer["all_layers"]["label"] in part(page, "agreement"), part(page, "agreement")
    assert part(page, "error") == "", part(page, "error")
    assert "<img" not in page and "<b>" not in page, "what was typed became markup"
    assert "<title>dht: classify a text</title>" in page
    return summary


class Tab:
    """A tab of a browser, driven as a keyboard drives it (Chrome DevTools protocol over a WebSocket)."""

    KEYS = {"Tab": 9, "Enter": 13, "End": 35, "Home": 36}

    def __init__(self, browser, profile, url):
        self.process = subprocess.Popen([browser, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
                                         f"--user-data-dir={profile}", url], stderr=subprocess.DEVNULL)
        file = pathlib.Path(profile) / "DevToolsActivePort"
        port = wait(lambda: file.exists() and file.read_text().split("\n")[0])
        tabs = wait(lambda: [tab for tab in json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json"))
                             if tab["type"] == "page"])
        target = urllib.parse.urlparse(tabs[0]["webSocketDebuggerUrl"])
        self.socket = socket.create_connection((target.hostname, target.port), 60)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.file = self.socket.makefile("rb")
        while self.file.readline() != b"\r\n":
            pass
        self.number, self.problems = 0, []
        self.send("Log.enable")
        self.send("Runtime.enable")

    def send(self, method, **params):
        self.number += 1
        data = json.dumps({"id": self.number, "method": method, "params": params}).encode()
        self.socket.sendall(struct.pack("!BBHI", 0x81, 0xFE, len(data), 0) + data)
        while True:
            kind, length = struct.unpack("!BB", self.file.read(2))
            length = struct.unpack("!H", self.file.read(2))[0] if length == 126 else length
            length = struct.unpack("!Q", self.file.read(8))[0] if length == 127 else length
            found = json.loads(self.file.read(length))
            if found.get("id") == self.number:
                return found["result"]
            if found.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.problems.append(json.dumps(found["params"]))

    def value(self, expression):
        return self.send("Runtime.evaluate", expression=expression)["result"].get("value")

    def press(self, key, modifiers=0):
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=self.KEYS[key],
                      modifiers=modifiers, **(text if kind == "keyDown" else {}))

    def close(self):
        self.process.terminate()
        self.process.wait(60)


def wait(found, seconds=60):
    """What `found` returns once it returns something."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError("nothing came")


def check_keyboard(browser, profile, address):
    """A text is typed, classified and given more layers without a mouse; the browser has nothing to complain of."""
    tab = Tab(browser, profile, f"{address}/")
    try:
        wait(lambda: "classes" in (tab.value("document.getElementById('model')?.textContent") or ""))
        order = []
        for _ in range(6):
            tab.press("Tab")
            order.append(tab.value("document.activeElement.id || document.activeElement.textContent.trim()"))
        buttons = ["Classify", "Short example", "Long example"]
        assert order == ["text", "Second text, for models of pairs", *buttons, "speed"], order
        tab.value("document.getElementById('text').focus()")
        tab.send("Input.insertText", text="The food was fine.")
        summary = "document.getElementById('summary').textContent"
        wait(lambda: tab.value("!document.getElementById('answer').hidden") and tab.value(summary))
        wait(lambda: tab.value("document.getElementById('exits').children.length"))
        tab.send("Emulation.setDeviceMetricsOverride", width=320, height=800, deviceScaleFactor=1, mobile=False)
        assert tab.value("document.documentElement.scrollWidth") <= 320, "the page scrolls sideways"
        tab.press("Enter", modifiers=2)
        asked = "performance.getEntriesByType('resource').filter((entry) => entry.name.endsWith('/v1/classify')).length"
        before = tab.value(asked)
        for _ in range(6):
            tab.press("Tab")
        assert tab.value("document.activeElement.id") == "speed"
        tab.press("End")
        wait(lambda: tab.value(asked) > before)
        slowest = wait(lambda: re.search(r"after (\d+) of \1 layers", tab.value(summary)) and tab.value(summary))
        spoken = tab.value("document.activeElement.getAttribute('aria-valuetext')")
        assert re.search(r"% of the full model’s cost, .* score on held-out texts$", spoken), spoken
        assert tab.value("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is visible"
        problems = [problem for problem in tab.problems if "favicon" not in problem]
        assert not problems, problems
        return slowest
    finally:
        tab.close()


def main(browser, dht, model, pictures=None):
    server = subprocess.Popen([dht, "serve", model, "--port", "0", "--quiet"], stderr=subprocess.PIPE, text=True)
    try:
        line = server.stderr.readline()
        assert line.endswith(" answers\n"), line
        address = line.split()[0]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            for text in TEXTS:
                print(check(browser, profile, address, text))
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            print(check_keyboard(browser, profile, address))
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            for name, (width, height) in SIZES.items() if pictures else ():
                for theme in ("light", "dark"):
                    file = pathlib.Path(pictures).absolute() / f"page-{name}-{theme}.png"
                    dark = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if theme == "dark" else []
                    url = f"{address}/#{urllib.parse.quote(TEXTS[0])}"
                    chromium(browser, profile, url, f"--screenshot={file}", f"--window-size={width},{height}", *dark)
    finally:
        server.terminate()
        assert server.wait(60) == 0


main(*sys.argv[1:])
