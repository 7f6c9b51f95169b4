"""Hashed text as a bandit: dht-bandits' example `hashed_words` and Vowpal Wabbit on the same files, both pinned to one core.

usage: compare_hashed.py DIRECTORY [--rounds N]

It needs vowpalwabbit, numpy, DHT_DATA (AG News and IMDB), and `cargo build --release -p dht-bandits --example hashed_words`.
Files: AG News and IMDB as words, and 100,000 generated rows over a million words. Times are processor seconds of a whole pass,
parsing included, the median of alternating rounds; the reward is the progressive one of the pass.
"""

import csv
import gzip
import os
import random
import re
import statistics
import subprocess
import sys

PROGRAM = "target/release/examples/hashed_words"
WABBIT = """
import sys, time, vowpalwabbit
start = time.process_time()
model = vowpalwabbit.Workspace(f"--cbify {sys.argv[2]} -d {sys.argv[1]} --quiet " + " ".join(sys.argv[3:]))
print(1 - model.get_sum_loss() / model.get_weighted_examples(), time.process_time() - start)
"""
# Explorations of Vowpal Wabbit: the best of them on the first file counts.
EXPLORATIONS = ["--squarecb --gamma_scale 100", "--squarecb --gamma_scale 1000 -l 2", "--epsilon 0.02", "--epsilon 0.02 -l 2", "--bag 3"]


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


def ours(path, arms, ngrams):
    fields = pinned([PROGRAM, path, str(arms), "18", str(ngrams)])
    return float(fields[3]), float(fields[5]), float(fields[10])


def wabbit(path, arms, options):
    reward, seconds = pinned([sys.executable, "-c", WABBIT, path, str(arms), *options.split()])
    return float(reward), float(seconds)


def main():
    directory, rounds = sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 5
    prepare(directory)
    for name, arms in (("ag_news", 4), ("imdb", 2), ("generated", 4)):
        path = f"{directory}/{name}.vw"
        for ngrams in (1, 2):
            options = [f"{exploration} --ngram {ngrams}" if ngrams > 1 else exploration for exploration in EXPLORATIONS]
            best = max(options, key=lambda option: wabbit(path, arms, option)[0])
            pairs = [(ours(path, arms, ngrams), wabbit(path, arms, best)) for _ in range(rounds)]
            (reward, *_), (theirs, _) = pairs[0]
            ratio = statistics.median(other[1] / own[1] for own, other in pairs)
            own, without = (statistics.median(pair[0][column] for pair in pairs) for column in (1, 2))
            other = statistics.median(pair[1][1] for pair in pairs)
            print(f"{name}, {ngrams}-grams: reward {reward:.4f} and {theirs:.4f} ({best}); seconds {own:.3f}, "
                  f"{without:.3f} without parsing, and {other:.3f}: {ratio:.2f} times as many examples a second", flush=True)


main()
