#!/usr/bin/env python3
"""Train small BERT encoders from scratch on the generated texts, and report accuracy by depth and difficulty.

An independent check (PyTorch, CPU) of the corpus's documentation: the full model learns it, and one layer is enough for
the easy texts but not for the others.

    scripts/prove_corpus.py train.csv test.csv --depths 6 1 2 4 --seeds 0 1 2
    scripts/prove_corpus.py train.csv test.csv --depths 6 --exits 1 2 4 6 --weights .3 .4 .5 1

The files have the columns label, difficulty, text, as the example `generated_texts` writes them, for example
16,000 training rows of seed 1 and 4,000 test rows of seed 2. A model of fewer layers is trained separately ("truncated");
with --exits every listed layer has its own classifier and all are trained jointly.

The defaults learn fast on this corpus. Weights start with a standard deviation of .1 (with BERT's .02 a model had not
learned negations when others had), and the two projections into the residual stream with a fifth of that, so that six
post-norm layers start about as well as two; β₂ is .98; [CLS] is the pooled state.
"""

import argparse
import csv
import re
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

LABELS = ["film praised", "film panned", "meal praised", "meal panned"]
CLASSES = len(LABELS)
DIFFICULTIES = ["Easy", "Middle", "Hard"]


def read(path):
    """Rows of a file as (words, label, difficulty)."""
    with open(path, newline="", encoding="utf-8") as file:
        return [
            (re.findall(r"\w+|[^\w\s]", row["text"].lower()), LABELS.index(row["label"]), DIFFICULTIES.index(row["difficulty"]))
            for row in csv.DictReader(file)
        ]


def encode(rows, vocabulary):
    """Ids between [CLS] = 1 and [SEP] = 2; 0 is padding, 3 an unknown word."""
    return [
        (np.array([1] + [vocabulary.get(word, 3) for word in words] + [2]), label, difficulty)
        for words, label, difficulty in rows
    ]


def batches(data, size, rng=None):
    """Padded batches of texts of similar length: shuffled, then sorted by length within pools of 16 batches."""
    order = np.arange(len(data)) if rng is None else rng.permutation(len(data))
    pool = size * 16
    groups = []
    for start in range(0, len(order), pool):
        part = sorted(order[start : start + pool], key=lambda row: len(data[row][0]))
        groups += [part[at : at + size] for at in range(0, len(part), size)]
    if rng is not None:
        groups = [groups[at] for at in rng.permutation(len(groups))]
    for group in groups:
        longest = max(len(data[row][0]) for row in group)
        ids = np.zeros((len(group), longest), dtype=np.int64)
        for index, row in enumerate(group):
            ids[index, : len(data[row][0])] = data[row][0]
        labels = np.array([data[row][1] for row in group])
        kinds = np.array([data[row][2] for row in group])
        yield torch.from_numpy(ids), torch.from_numpy(labels), kinds


class Block(nn.Module):
    """Post-norm BERT block."""

    def __init__(self, hidden, heads, dropout):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.up = nn.Linear(hidden, 4 * hidden)
        self.down = nn.Linear(4 * hidden, hidden)
        self.norm_attention = nn.LayerNorm(hidden, eps=1e-12)
        self.norm_output = nn.LayerNorm(hidden, eps=1e-12)
        self.dropout = dropout

    def drop(self, x):
        return F.dropout(x, self.dropout, self.training) if self.dropout > 0 else x

    def forward(self, x, bias):
        rows, length, hidden = x.shape
        q, k, v = self.qkv(x).view(rows, length, 3, self.heads, hidden // self.heads).permute(2, 0, 3, 1, 4)
        attention = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=self.dropout * self.training)
        attention = attention.transpose(1, 2).reshape(rows, length, hidden)
        x = self.norm_attention(x + self.drop(self.out(attention)))
        return self.norm_output(x + self.drop(self.down(F.gelu(self.up(x)))))


class Encoder(nn.Module):
    """BERT with one linear classifier at each exit."""

    def __init__(self, words, layers, exits, options):
        super().__init__()
        hidden = options.hidden
        self.words = nn.Embedding(words, hidden)
        self.positions = nn.Embedding(64, hidden)
        self.norm = nn.LayerNorm(hidden, eps=1e-12)
        self.blocks = nn.ModuleList(Block(hidden, options.heads, options.dropout) for _ in range(layers))
        self.exits = exits
        self.classifiers = nn.ModuleList(nn.Linear(hidden, CLASSES) for _ in exits)
        self.pooling = options.pooling
        self.dropout = options.dropout
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=options.embedding_init)
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=options.init)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            nn.init.normal_(block.out.weight, std=options.init * options.residual)
            nn.init.normal_(block.down.weight, std=options.init * options.residual)
        if options.sinusoid > 0:
            angles = torch.arange(64)[:, None] / 1000 ** (torch.arange(hidden // 2) / (hidden // 2))
            with torch.no_grad():
                self.positions.weight.copy_(options.sinusoid * torch.cat([angles.sin(), angles.cos()], 1))

    def pool(self, x, real):
        return x[:, 0] if self.pooling == "cls" else (x * real).sum(1) / real.sum(1)

    def forward(self, ids):
        real = (ids != 0).float()
        bias = ((real - 1) * 1e4)[:, None, None, :]
        x = self.norm(self.words(ids) + self.positions.weight[: ids.shape[1]])
        if self.training and self.dropout > 0:
            x = F.dropout(x, self.dropout)
        logits = []
        for depth, block in enumerate(self.blocks, 1):
            x = block(x, bias)
            if depth in self.exits:
                pooled = self.pool(x, real[:, :, None])
                if self.training and self.dropout > 0:
                    pooled = F.dropout(pooled, self.dropout)
                logits.append(self.classifiers[self.exits.index(depth)](pooled))
        return logits


def macro_f1(labels, guesses):
    scores = []
    for label in range(CLASSES):
        hit = ((labels == label) & (guesses == label)).sum()
        scores.append(2 * hit / max(1, (labels == label).sum() + (guesses == label).sum()))
    return float(np.mean(scores))


def evaluate(model, data):
    """Per exit: {part: (accuracy, macro F1)}."""
    model.eval()
    labels, kinds, guesses = [], [], [[] for _ in model.exits]
    with torch.no_grad():
        for ids, label, kind in batches(data, 256):
            labels.append(label.numpy())
            kinds.append(kind)
            for at, logits in enumerate(model(ids)):
                guesses[at].append(logits.argmax(1).numpy())
    model.train()
    labels, kinds = np.concatenate(labels), np.concatenate(kinds)
    parts = {"all": kinds >= 0, "easy": kinds == 0, "not easy": kinds > 0, "middle": kinds == 1, "hard": kinds == 2}
    result = []
    for guess in map(np.concatenate, guesses):
        result.append(
            {name: ((labels[at] == guess[at]).mean(), macro_f1(labels[at], guess[at])) for name, at in parts.items()}
        )
    return result


def train(train_data, test_data, words, layers, exits, weights, seed, options):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Encoder(words, layers, exits, options)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": options.decay}, {"params": plain, "weight_decay": 0.0}],
        lr=options.lr,
        betas=(0.9, options.beta2),
        fused=True,
    )
    steps = options.epochs * -(-len(train_data) // options.batch)
    warm = max(1, int(steps * options.warm_up))
    step, started, curve = 0, time.time(), []
    for _ in range(options.epochs):
        for ids, labels, _ in batches(train_data, options.batch, rng):
            step += 1
            rate = min(1.0, step / warm, max(0.0, (steps - step) / max(1, steps * options.cool_down)))
            for group in optimizer.param_groups:
                group["lr"] = options.lr * rate
            losses = [F.cross_entropy(logits, labels) for logits in model(ids)]
            loss = sum(weight * loss for weight, loss in zip(weights, losses)) / sum(weights)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if options.curve and step % options.curve == 0:
                last = evaluate(model, test_data[:600])[-1]
                curve.append(f"{step}:{last['easy'][1]:.2f}/{last['middle'][1]:.2f}/{last['hard'][1]:.2f}")
    seconds = time.time() - started
    if curve:
        print("   ", " ".join(curve), flush=True)
    return evaluate(model, test_data), seconds, steps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--rows", type=int, help="the first rows of the training file only")
    parser.add_argument("--depths", type=int, nargs="+", default=[6, 1, 2, 4])
    parser.add_argument("--exits", type=int, nargs="+", help="joint training with these exits; default the last layer")
    parser.add_argument("--weights", type=float, nargs="+", default=[0.3, 0.4, 0.5, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--hidden", type=int, default=96)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--warm-up", type=float, default=0.1)
    parser.add_argument("--cool-down", type=float, default=0.5, help="share of the steps over which the rate falls to 0")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--decay", type=float, default=0.01)
    parser.add_argument("--beta2", type=float, default=0.98)
    parser.add_argument("--init", type=float, default=0.1)
    parser.add_argument("--embedding-init", type=float, default=0.02)
    parser.add_argument("--residual", type=float, default=0.2, help="factor on the init of what is added to the stream")
    parser.add_argument("--sinusoid", type=float, default=0.0, help="amplitude; 0 leaves random positions")
    parser.add_argument("--pooling", choices=["mean", "cls"], default="cls")
    parser.add_argument("--curve", type=int, default=0, help="test scores of the last exit every so many steps")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    train_rows, test_rows = read(options.train)[: options.rows], read(options.test)
    names = sorted({word for words, _, _ in train_rows for word in words})
    vocabulary = {word: index + 4 for index, word in enumerate(names)}
    train_data, test_data = encode(train_rows, vocabulary), encode(test_rows, vocabulary)
    tokens = np.mean([len(ids) for ids, _, _ in train_data])
    print(f"{len(train_rows)} rows x {options.epochs} epochs, {len(names)} words, {tokens:.1f} tokens a text")
    print("depth exit seed |  all: acc   F1 | easy F1 | not easy F1 | middle F1 | hard F1 | seconds")
    for depth in options.depths:
        exits = options.exits or [depth]
        weights = options.weights if options.exits else [1.0]
        for seed in options.seeds:
            results, seconds, steps = train(
                train_data, test_data, len(names) + 4, depth, exits, weights, seed, options
            )
            for exit_layer, parts in zip(exits, results):
                print(
                    f"{depth:5} {exit_layer:4} {seed:4} | {parts['all'][0]:8.3f} {parts['all'][1]:5.3f} |"
                    f" {parts['easy'][1]:7.3f} | {parts['not easy'][1]:11.3f} | {parts['middle'][1]:9.3f} |"
                    f" {parts['hard'][1]:7.3f} | {seconds:.1f} ({steps} steps)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
