"""StackOverflow titles as pooled states of a frozen encoder: stackoverflow.py DATA MODELS DIRECTORY

DATA holds stackoverflow20/train.tsv (text, label), MODELS holds minilm-l6/. The mean of the last hidden states of each title, scaled
to length 1 by our own encoder, becomes a context; its tag, one of 20, the rewarded arm. The first 4,000 titles, in three orders. The
states are stored in DIRECTORY and computed once.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from datasets import classes

ROOT = Path(__file__).resolve().parent.parent.parent
TITLES, ORDERS = 4000, [0, 1, 2]


def states(texts, model, directory):
    """Pooled states, shape (texts, hidden)."""
    titles, stored = directory / "stackoverflow-titles.txt", directory / "stackoverflow-states.csv"
    if not stored.exists():
        titles.write_text("\n".join(texts) + "\n")
        command = ["cargo", "run", "--release", "--quiet", "-p", "dht-transformer", "--example", "embed_sentences", "--", model, titles]
        output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        stored.write_bytes(output)
    return np.loadtxt(stored, delimiter=",")


def main(data, models, directory):
    lines = (Path(data) / "stackoverflow20" / "train.tsv").read_text().splitlines()[1 : TITLES + 1]
    texts, tags = zip(*(line.rsplit("\t", 1) for line in lines))
    pooled = states(texts, Path(models) / "minilm-l6", Path(directory))
    classes(directory, "stackoverflow", pooled, np.unique(tags, return_inverse=True)[1], ORDERS)


if __name__ == "__main__":
    main(*sys.argv[1:])
