#!/usr/bin/env python3
"""Kills `dht` at each system call with which it replaces a model, and checks that the old or the new model is there.

Usage: scripts/kill_replacement.py DHT DIRECTORY. Needs strace; models are made in DIRECTORY, which must not exist.
"""

import hashlib
import pathlib
import re
import shutil
import subprocess
import sys

CALLS = ["mkdir", "openat", "write", "fsync", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir"]


def digest(folder):
    """Names and contents of all files below a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
            found.update(path.read_bytes())
    return found.hexdigest()


def main(dht, place):
    place.mkdir(parents=True)
    words = [("fine", "good meal"), ("poor", "bad meal")]
    rows = "".join(f"{label},{text} number {row}\n" for row in range(40) for label, text in words)
    (place / "rows.csv").write_text("label,text\n" + rows)
    quiet = {"cwd": place, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def train(out, seed):
        flags = ["--model", "2x2x16", "--kind", "full", "--epochs", "1", "--max-length", "16", "--seed", str(seed)]
        subprocess.run([dht, "train", "--data", "rows.csv", "--out", out, *flags], check=True, **quiet)

    train("first", 1)
    train("second", 2)
    # A model of dht, and a directory of the Hugging Face library.
    exports = {name: [dht, "export", name, "--out", "out"] for name in ("first", "second")}
    trains = [dht, "train", "--data", "rows.csv", "--model", "2x2x16", "--kind", "full", "--epochs", "1"]
    trains += ["--max-length", "16", "--seed", "3", "--out", "out"]
    kills = old = new = 0
    # As on a file system that cannot exchange two directories.
    apart = ["-e", "inject=renameat2:error=EINVAL"]
    for what, before, command, faults in [
        ("export", exports["first"], exports["second"], []),
        ("train", ["cp", "-r", "first", "out"], trains, []),
        ("export in two steps", exports["first"], exports["second"], apart),
    ]:
        out = place / "out"

        def clean():
            for left in [out, *place.glob("out.training"), *place.glob(".partial-*")]:
                shutil.rmtree(left, ignore_errors=True)

        clean()
        subprocess.run(before, check=True, **quiet)
        was = digest(out)
        subprocess.run(["strace", "-f", "-o", "calls", *faults, *command], check=True, **quiet)
        # Reports and cards have times: of a trained model only the parts without them are compared.
        is_whole = lambda: subprocess.run([dht, "predict", "out", "good meal"], **quiet).returncode == 0
        will = None if what == "train" else digest(out)
        trace = (place / "calls").read_text().splitlines()
        begins = next(index for index, line in enumerate(trace) if "mkdir" in line and ".partial-" in line)
        for call in CALLS:
            named = [index for index, line in enumerate(trace) if re.match(rf"\d+ +{call}\(", line)]
            writer = trace[begins].split()[0]
            own = [index for index in named if trace[index].split()[0] == writer]
            # strace counts the calls of each thread by themselves.
            for when in (count + 1 for count, index in enumerate(own) if index >= begins):
                clean()
                subprocess.run(before, check=True, **quiet)
                inject = f"inject={call}:signal=SIGKILL:when={when}"
                subprocess.run(["strace", "-f", "-o", "/dev/null", *faults, "-e", inject, *command], **quiet)
                kills += 1
                # A load moves a directory back that a kill left aside.
                whole = is_whole()
                there = digest(out)
                if there == was:
                    old += 1
                elif (there == will or will is None) and whole:
                    new += 1
                else:
                    sys.exit(f"{what}: killed at {call} number {when}, neither the old nor the new model is there")
    print(f"{kills} kills: {old} times the old model is there, {new} times the new one")
    shutil.rmtree(place)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve())
