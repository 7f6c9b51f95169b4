"""Opens report.html in a headless Chromium and compares what it shows with record.json.

Usage: check_report.py BROWSER DIRECTORY...

Fails on errors in the console, on requests to elsewhere, on rows and figures that are missing or empty, on a page that is
wider than the screen, and on "NaN" or "inf" outside of the reasons of failed rows. Leaves report.png and phone.png in the
directory of each report.
"""

import html
import json
import pathlib
import re
import subprocess
import sys
import tempfile

# Runs in a copy of the page, after it was laid out.
PROBE = """
<script>
addEventListener("load", () => {
    const rows = table => [...document.querySelectorAll(`#${table} tr[data-row]`)].map(row =>
        [...row.children].map(cell => cell.innerText.trim()));
    const result = {
        rows: [rows("table1"), rows("table2")],
        images: [...document.querySelectorAll("svg")].map(svg => {
            const box = svg.getBoundingClientRect();
            return [box.width, box.height, svg.querySelectorAll("text").length, svg.getAttribute("aria-label")];
        }),
        files: [...document.querySelectorAll("[data-file]")].map(panel => panel.dataset.file),
        headings: [...document.querySelectorAll("h3")].map(heading => heading.innerText),
        wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
        text: document.body.innerText + [...document.querySelectorAll("svg text")].map(text => text.textContent).join("\\n"),
        requests: performance.getEntriesByType("resource").map(entry => entry.name),
    };
    const found = document.createElement("pre");
    found.id = "probe";
    found.textContent = JSON.stringify(result);
    document.body.append(found);
});
</script>
"""
SIZES = {"report": (1280, 1600), "phone": (500, 900)}


def opened(browser, page, size, *more):
    """Runs the browser on a page; its output and its console."""
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                   "--no-first-run", "--disable-background-networking", f"--user-data-dir={profile}",
                   "--enable-logging=stderr", f"--window-size={size[0]},{size[1]}", "--virtual-time-budget=3000",
                   *more, page.as_uri()]
        run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if run.returncode != 0:
        raise SystemExit(f"the browser ended with {run.returncode}: {run.stderr[-2000:]}")
    return run.stdout, [line for line in run.stderr.splitlines() if "CONSOLE" in line]


def problems(browser, folder):
    """Everything that is wrong with the report in a folder."""
    record = json.loads((folder / "record.json").read_text())
    page = (folder / "report.html").resolve()
    rows = record["rows"]
    reasons = [" ".join(reason.split()) for row in rows for reason in row.get("failed", {}).values()]
    for name, size in SIZES.items():
        picture = (folder / f"{name}.png").resolve()
        opened(browser, page, (size[0], 12000), f"--screenshot={picture}")
        with tempfile.TemporaryDirectory() as copies:
            copy = pathlib.Path(copies) / "report.html"
            copy.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
            output, console = opened(browser, copy, size, "--dump-dom")
        yield from (f"{name}: {line}" for line in console)
        match = re.search(r'<pre id="probe">(.*?)</pre>', output, re.S)
        if match is None:
            yield f"{name}: the page was not laid out"
            continue
        found = json.loads(html.unescape(match.group(1)))
        for number, shown in enumerate(found["rows"], 1):
            if len(shown) != len(rows):
                yield f"{name}: table {number} has {len(shown)} rows, the record {len(rows)}"
            for cells, row in zip(shown, rows):
                expected = [" ".join(row[field].split()) for field in ("method", "setting")]
                if cells[:2] != expected:
                    yield f"{name}: table {number} has the row {cells[:2]} instead of {expected}"
                if row["seeds"] and f"{row['macro_f1']['mean']:.3f}" not in cells[4]:
                    yield f"{name}: table {number}, {expected}: {cells[4]} instead of {row['macro_f1']['mean']:.3f}"
        files = sorted(path.name for path in (folder / "figures").glob("*.svg"))
        if files and files != sorted(found["files"]):
            yield f"{name}: figures {sorted(set(files) ^ set(found['files']))} are in the page or in figures/ only"
        for number in range(1, 8):
            if not any(heading.startswith(f"Figure {number}.") for heading in found["headings"]):
                yield f"{name}: there is no figure {number}"
        if len(found["images"]) != len(found["files"]):
            yield f"{name}: {len(found['images'])} images in {len(found['files'])} panels"
        for file, (width, height, texts, label) in zip(found["files"], found["images"]):
            if width < 100 or height < 50 or texts == 0 or not label:
                yield f"{name}: {file} is {width} x {height} with {texts} texts, named {label!r}"
        if found["wide"]:
            yield f"{name}: the page is wider than a screen of {size[0]} pixels"
        if found["requests"]:
            yield f"{name}: the page loads {found['requests']}"
        text = " ".join(found["text"].split())
        for reason in reasons:
            text = text.replace(reason, "")
        for word in re.findall(r"\b(?:NaN|inf|undefined)\b", text):
            yield f"{name}: the page says {word}"


def main():
    browser, folders = sys.argv[1], [pathlib.Path(folder) for folder in sys.argv[2:]]
    wrong = 0
    for folder in folders:
        for problem in problems(browser, folder):
            print(f"{folder}: {problem}")
            wrong += 1
        print(f"{folder}: opened, screenshots are beside it")
    if wrong:
        raise SystemExit(f"{wrong} problems")


main()
