"""StackOverflow titles as pooled states of a frozen BERT encoder, with numpy: stackoverflow.py DATA DIRECTORY

DATA holds stackoverflow20/train.tsv (text, label) and minilm-l6/ (config.json, tokenizer.json, model.safetensors). The mean of the
last hidden states of each title, l2-normalised, becomes a context; its tag, one of 20, the rewarded arm. The first 4,000 titles, in
three orders.
"""

import json
import sys
from pathlib import Path

import numpy as np
from datasets import classes
from safetensors.numpy import load_file
from tokenizers import Tokenizer

TITLES, BATCH, ORDERS = 4000, 64, [0, 1, 2]


def norm(x, weights, name, epsilon):
    x = x - x.mean(-1, keepdims=True)
    scaled = x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon)
    return scaled * weights[f"{name}.LayerNorm.weight"] + weights[f"{name}.LayerNorm.bias"]


def erf(x):
    """Abramowitz & Stegun (1964), 7.1.26: off by at most 1.5e-7."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - series * np.exp(-x * x))


def states(encodings, weights, config):
    """(texts, hidden): means over the tokens of each text."""
    ids = np.array([encoding.ids for encoding in encodings])
    mask = np.array([encoding.attention_mask for encoding in encodings])
    hidden, heads, epsilon = config["hidden_size"], config["num_attention_heads"], config["layer_norm_eps"]
    table = lambda kind: weights[f"embeddings.{kind}_embeddings.weight"]
    x = table("word")[ids] + table("position")[: ids.shape[1]] + table("token_type")[0]
    x = norm(x, weights, "embeddings", epsilon)
    texts, tokens = ids.shape
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}."
        linear = lambda part, x: x @ weights[f"{name}{part}.weight"].T + weights[f"{name}{part}.bias"]
        split = lambda x: x.reshape(texts, tokens, heads, -1).transpose(0, 2, 1, 3)
        q, k, v = (split(linear(f"attention.self.{part}", x)) for part in ("query", "key", "value"))
        scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(hidden / heads) + np.where(mask, 0.0, -1e9)[:, None, None, :]
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        attended = (shares @ v).transpose(0, 2, 1, 3).reshape(texts, tokens, hidden)
        x = norm(x + linear("attention.output.dense", attended), weights, f"{name}attention.output", epsilon)
        inner = linear("intermediate.dense", x)
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        x = norm(x + linear("output.dense", inner), weights, f"{name}output", epsilon)
    return (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)


def main(data, directory):
    model = Path(data) / "minilm-l6"
    config, weights = json.loads((model / "config.json").read_text()), load_file(model / "model.safetensors")
    weights = {name.removeprefix("bert."): value.astype(np.float32) for name, value in weights.items()}
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.enable_truncation(64)
    tokenizer.enable_padding()
    lines = (Path(data) / "stackoverflow20" / "train.tsv").read_text().splitlines()[1 : TITLES + 1]
    texts, tags = zip(*(line.rsplit("\t", 1) for line in lines))
    batches = [tokenizer.encode_batch(list(texts[start : start + BATCH])) for start in range(0, len(texts), BATCH)]
    pooled = np.vstack([states(batch, weights, config) for batch in batches]).astype(float)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    classes(directory, "stackoverflow", pooled, np.unique(tags, return_inverse=True)[1], ORDERS)


if __name__ == "__main__":
    main(*sys.argv[1:])
