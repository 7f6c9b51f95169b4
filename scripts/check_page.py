"""Opens the page of `dht serve` in a headless Chromium: check_page.py BROWSER DHT MODEL [PICTURES]."""

import html
import json
import pathlib
import re
import subprocess
import sys
import tempfile
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
    request = urllib.request.Request(f"{address}/v1/classify", json.dumps({"texts": [text]}).encode(),
                                     {"Content-Type": "application/json"})
    answer = json.load(urllib.request.urlopen(request))["answers"][0]
    summary, labels = part(page, "summary"), part(page, "bars")
    assert summary.startswith(answer["label"] + ", "), summary
    assert all(label in labels for label in answer["probabilities"]), labels
    assert f"({answer['route']})" in part(page, "route"), part(page, "route")
    assert part(page, "layers").count("heads") == len(answer["layers"])
    assert part(page, "error") == "", part(page, "error")
    assert "<img" not in page and "<b>" not in page, "what was typed became markup"
    assert "<title>dht: classify a text</title>" in page
    return summary


def main(browser, dht, model, pictures=None):
    server = subprocess.Popen([dht, "serve", model, "--port", "0", "--quiet"], stderr=subprocess.PIPE, text=True)
    try:
        line = server.stderr.readline()
        assert line.endswith(" answers\n"), line
        address = line.split()[0]
        with tempfile.TemporaryDirectory() as profile:
            for text in TEXTS:
                print(check(browser, profile, address, text))
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
