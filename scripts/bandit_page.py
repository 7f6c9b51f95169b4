"""Records and tables of crates/dht-bandits/docs/hashed-and-offline.md."""

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "crates" / "dht-bandits" / "docs" / "hashed-and-offline.md"


def machine():
    """Processor and versions that a record depends on."""
    model = next(line for line in open("/proc/cpuinfo") if line.startswith("model name")).split(":")[1].strip()
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {"processor": model, "rustc": rustc, "python": platform.python_version(), "vowpalwabbit": version("vowpalwabbit")}


def store(name, record, table):
    """Writes docs/records/NAME.json, and the table between the marks of NAME in the page."""
    with open(ROOT / "docs" / "records" / f"{name}.json", "w") as file:
        json.dump(record, file, indent=1)
        file.write("\n")
    before, rest = PAGE.read_text().split(f"<!-- {name} -->\n")
    after = rest.split(f"<!-- end of {name} -->", 1)[1]
    PAGE.write_text(f"{before}<!-- {name} -->\n{table}\n<!-- end of {name} -->{after}")
