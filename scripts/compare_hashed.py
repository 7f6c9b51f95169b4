"""Hashed text as a bandit: dht-bandits' example `hashed_words` and Vowpal Wabbit on the same files, both pinned to one core.

usage: compare_hashed.py DIRECTORY [--rounds N]

It needs vowpalwabbit, numpy, DHT_DATA (AG News and IMDB), and `cargo build --release -p dht-bandits --features log --example
hashed_words` (HASHED_WORDS is the path of another build). It writes docs/records/hashed_text.json and the table of the page.
Files: AG News and IMDB as words, and 100,000 generated rows over a million words. Times are processor seconds of all threads in a
pass, in alternating rounds; the reward is the progressive one of the pass. Without parsing, Vowpal Wabbit learns examples that it
has parsed before, by one call from Python each.
"""

import csv
import gzip
import os
import random
import re
import statistics
import subprocess
import sys

import bandit_page

PROGRAM = os.environ.get("HASHED_WORDS", "target/release/examples/hashed_words")
WABBIT = """
import sys, time, vowpalwabbit
path, options = sys.argv[1], f"--cbify {sys.argv[2]} --quiet " + " ".join(sys.argv[4:])
start = time.process_time()
model = vowpalwabbit.Workspace(f"{options} -d {path}")
reward = 1 - model.get_sum_loss() / model.get_weighted_examples()
print(reward, time.process_time() - start, flush=True)
model.finish()
if "no-timing" in sys.argv:
    sys.exit()
model = vowpalwabbit.Workspace(options)
examples = [model.parse(line.rstrip("\\n")) for line in open(path)]
start = time.process_time()
for example in examples:
    model.learn(example)
without = time.process_time() - start
for example in examples:
    model.finish_example(example)
assert abs(1 - model.get_sum_loss() / model.get_weighted_examples() - reward) < 1e-9
print(without)
"""
# Explorations of Vowpal Wabbit: the best of them on each file counts.
EXPLORATIONS = [
    "--epsilon 0", "--epsilon 0 -l 2", "--epsilon 0.02", "--first 500", "--squarecb --gamma_scale 100",
    "--squarecb --gamma_scale 1000", "--regcbopt --mellowness 0.01", "--bag 3 --epsilon 0.02",
]


def words(text):
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def write(path, rows):
    random.Random(1).shuffle(rows)
    with open(path, "w") as file:
        file.writelines(f"{label} |w {text}\n" for label, text in rows)


def prepare(directory):
    data = os.environ["DHT_DATA"]
    news = [(row[0], words(" ".join(row[1:]))) for row in csv.reader(open(f"{data}/ag_news/train.csv"))]
    write(f"{directory}/ag_news.vw", news)
    with gzip.open(f"{data}/imdb/train.csv.gz", "rt") as file:
        reviews = [(row[0], words(" ".join(row[1:]))) for row in csv.reader(file) if row and row[0].isdigit()]
    least = min(int(label) for label, _ in reviews)
    write(f"{directory}/imdb.vw", [(int(label) - least + 1, text) for label, text in reviews])
    import numpy as np

    rng = np.random.default_rng(1)
    share = 1 / np.arange(1, 1_000_001) ** 0.8
    share = np.cumsum(share / share.sum())
    with open(f"{directory}/generated.vw", "w") as file:
        for _ in range(100_000):
            label = int(rng.integers(0, 4))
            common = " ".join(f"f{word}" for word in np.searchsorted(share, rng.random(30)))
            own = " ".join(f"g{(word * 4 + label) % 1_000_003}" for word in np.searchsorted(share, rng.random(5)))
            file.write(f"{label + 1} |w {common} {own}\n")


def pinned(command):
    return subprocess.run(["taskset", "-c", "1", *command], capture_output=True, text=True, check=True).stdout.split()


def ours(path, arms, bits, ngrams):
    fields = pinned([PROGRAM, path, str(arms), str(bits), str(ngrams)])
    return {"reward": float(fields[3]), "seconds": float(fields[5]), "without_parsing": float(fields[10])}


def wabbit(path, arms, options, timing="timing"):
    fields = pinned([sys.executable, "-c", WABBIT, path, str(arms), timing, *options.split()])
    return dict(zip(("reward", "seconds", "without_parsing"), map(float, fields)))


def row_of(entry):
    """Row of the table: rewards, examples a second, and the median and range of the ratios of the rounds."""
    rounds, rows = entry["rounds"], entry["rows"]
    line = f"| {entry['file']} | {entry['ngrams']} | 2^{entry['bits']} | {rounds[0]['ours']['reward']:.4f} "
    line += f"| {rounds[0]['peer']['reward']:.4f} ({entry['best']}) "
    for field in ("seconds", "without_parsing"):
        rates = [rows / statistics.median(pair[side][field] for pair in rounds) / 1000 for side in ("ours", "peer")]
        ratios = [pair["peer"][field] / pair["ours"][field] for pair in rounds]
        line += f"| {rates[0]:.0f} | {rates[1]:.0f} | **{statistics.median(ratios):.2f}** ({min(ratios):.2f}–{max(ratios):.2f}) "
    return line + "|"


def main():
    directory, rounds = sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 3
    if not os.path.exists(f"{directory}/generated.vw"):
        prepare(directory)
    entries = []
    for name, arms, bits, ngrams in (
        ("ag_news", 4, 18, 2), ("imdb", 2, 18, 2), ("generated", 4, 22, 1), ("generated", 4, 18, 1),
        ("ag_news", 4, 18, 1), ("imdb", 2, 18, 1),
    ):
        path = f"{directory}/{name}.vw"
        suffix = f" -b {bits}" + (f" --ngram {ngrams}" if ngrams > 1 else "")
        rewards = {option: wabbit(path, arms, option + suffix, "no-timing")["reward"] for option in EXPLORATIONS}
        best = max(rewards, key=rewards.get)
        pairs = [
            {"ours": ours(path, arms, bits, ngrams), "peer": wabbit(path, arms, best + suffix)} for _ in range(rounds)
        ]
        rows = sum(1 for _ in open(path))
        entry = {"file": name, "rows": rows, "ngrams": ngrams, "bits": bits, "best": best}
        entries.append(entry | {"explorations": rewards, "rounds": pairs})
        print(row_of(entries[-1]), flush=True)
        head = "| file | n-grams | weights | our reward | VW's best | ours, 1,000/s | VW, 1,000/s | ours/VW "
        head += "| ours without parsing | VW without parsing | ours/VW |\n" + "|---" * 11 + "|\n"
        table = head + "\n".join(map(row_of, entries))
        bandit_page.store("hashed_text", {"machine": bandit_page.machine(), "entries": entries}, table)


main()
