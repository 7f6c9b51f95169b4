"""Writes crates/dht-transformer/tests/golden/encoder.{json,safetensors}: a BERT of two layers, forward and backward.

    pip install torch
    python scripts/golden_encoder.py

Written in elementary operations and run in float64, so that the test measures only the error of the encoder under test.
Three runs over the same texts, all without dropout:

    hidden.0 ... hidden.2        every head, the whole feed-forward (0: the embedding's output)
    masked.1, masked.2           the heads of "kept_heads" only: the outputs of the others times zero
    narrow.1, narrow.2           these heads, and the first "widths" neurons of each feed-forward

Three classifiers with bias read the last states (first row; first row through a dense layer and tanh; mean row). The loss
is the sum of their mean cross-entropies, "loss" and grad.NAME for the first run, "narrow_loss" and
narrow_grad.NAME for the third. Rows are those of all texts in order, without padding.
"""

import json
import math
import struct
from pathlib import Path

import torch

CONFIG = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 9,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}
CLASSES = 3
KEPT = [[0, 2], [3]]
WIDTHS = [17, 8]
TEXTS = [[2, 7, 19, 3], [2, 3], [2, 5, 5, 11, 3, 8, 14, 6, 3], [2], [2, 18, 0, 3]]
TYPES = [[0, 0, 0, 0], [0, 0], [0, 0, 0, 0, 0, 1, 1, 1, 1], [0], [0, 0, 0, 0]]
LABELS = [0, 1, 2, 2, 1]


def draw_weights(generator):
    d, f = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    weights = {}

    def draw(name, *shape, deviation=0.3, mean=0.0):
        # Rounded to float32, so that both sides start from the same weights.
        values = mean + deviation * torch.randn(*shape, generator=generator, dtype=torch.float64)
        weights[name] = values.float().double().requires_grad_()

    def linear(name, outputs, inputs):
        draw(name + ".weight", outputs, inputs)
        draw(name + ".bias", outputs)

    def norm(name):
        draw(name + ".weight", d, mean=1.0)
        draw(name + ".bias", d)

    draw("embeddings.word_embeddings.weight", CONFIG["vocab_size"], d)
    draw("embeddings.position_embeddings.weight", CONFIG["max_position_embeddings"], d)
    draw("embeddings.token_type_embeddings.weight", CONFIG["type_vocab_size"], d)
    norm("embeddings.LayerNorm")
    for layer in range(CONFIG["num_hidden_layers"]):
        block = f"encoder.layer.{layer}."
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            linear(block + part, d, d)
        norm(block + "attention.output.LayerNorm")
        linear(block + "intermediate.dense", f, d)
        linear(block + "output.dense", d, f)
        norm(block + "output.LayerNorm")
    for head in ("cls", "pooler", "mean"):
        linear(head, CLASSES, d)
    linear("pooler.pooler", d, d)
    return weights


def encode(weights, ids, types, kept, widths):
    """The hidden states of one text; kept: heads of each layer, widths: neurons of each layer."""
    heads = CONFIG["num_attention_heads"]
    size = CONFIG["hidden_size"] // heads

    def linear(x, name):
        return x @ weights[name + ".weight"].T + weights[name + ".bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdim=True)
        unit = centred / (centred.pow(2).mean(-1, keepdim=True) + CONFIG["layer_norm_eps"]).sqrt()
        return unit * weights[name + ".weight"] + weights[name + ".bias"]

    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + weights["embeddings.token_type_embeddings.weight"][types]
    states = [norm(x, "embeddings.LayerNorm")]
    for layer in range(CONFIG["num_hidden_layers"]):
        block = f"encoder.layer.{layer}."
        x = states[-1]
        q, k, v = (linear(x, block + "attention.self." + part) for part in ("query", "key", "value"))
        contexts = []
        for head in range(heads):
            columns = slice(head * size, (head + 1) * size)
            p = torch.softmax(q[:, columns] @ k[:, columns].T / math.sqrt(size), dim=-1)
            contexts.append(p @ v[:, columns] * float(head in kept[layer]))
        x = norm(x + linear(torch.cat(contexts, -1), block + "attention.output.dense"), block + "attention.output.LayerNorm")
        middle = linear(x, block + "intermediate.dense")
        middle = middle * (1 + torch.erf(middle / math.sqrt(2))) / 2
        middle = middle * (torch.arange(middle.shape[-1]) < widths[layer])
        states.append(norm(x + linear(middle, block + "output.dense"), block + "output.LayerNorm"))
    return states


def run(weights, kept, widths):
    """Hidden states of all texts in order, logits of each classifier, the loss and its gradients."""
    states = [encode(weights, torch.tensor(i), torch.tensor(t), kept, widths) for i, t in zip(TEXTS, TYPES)]
    last = [text[-1] for text in states]
    first, mean = torch.stack([text[0] for text in last]), torch.stack([text.mean(0) for text in last])
    pooled = torch.tanh(first @ weights["pooler.pooler.weight"].T + weights["pooler.pooler.bias"])
    logits = {
        head: rows @ weights[head + ".weight"].T + weights[head + ".bias"]
        for head, rows in (("cls", first), ("pooler", pooled), ("mean", mean))
    }
    loss = sum(torch.nn.functional.cross_entropy(one, torch.tensor(LABELS)) for one in logits.values())
    gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values()))))
    hidden = [torch.cat(layer) for layer in zip(*states)]
    return hidden, logits, loss, gradients


def save(tensors, path):
    """A safetensors file in float32."""
    header, data = {}, b""
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().flatten().tolist()
        start, data = len(data), data + struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    weights = draw_weights(torch.Generator().manual_seed(20))
    layers = range(CONFIG["num_hidden_layers"])
    every = [list(range(CONFIG["num_attention_heads"]))] * len(layers)
    whole = [CONFIG["intermediate_size"]] * len(layers)
    tensors = {"weight." + name: value for name, value in weights.items()}
    hidden, logits, loss, gradients = run(weights, every, whole)
    tensors |= {f"hidden.{layer}": rows for layer, rows in enumerate(hidden)}
    tensors |= {"logits." + head: values for head, values in logits.items()}
    tensors |= {"grad." + name: gradient for name, gradient in gradients.items()}
    masked = run(weights, KEPT, whole)[0]
    narrow, _, narrow_loss, narrow_gradients = run(weights, KEPT, WIDTHS)
    for layer in layers:
        tensors[f"masked.{layer + 1}"] = masked[layer + 1]
        tensors[f"narrow.{layer + 1}"] = narrow[layer + 1]
    tensors |= {"narrow_grad." + name: gradient for name, gradient in narrow_gradients.items()}

    folder = Path(__file__).resolve().parent.parent / "crates/dht-transformer/tests/golden"
    folder.mkdir(parents=True, exist_ok=True)
    save(tensors, folder / "encoder.safetensors")
    description = {
        "torch": torch.__version__.split("+")[0],
        "config": CONFIG,
        "classes": CLASSES,
        "ids": TEXTS,
        "type_ids": TYPES,
        "labels": LABELS,
        "kept_heads": KEPT,
        "widths": WIDTHS,
        "loss": loss.item(),
        "narrow_loss": narrow_loss.item(),
    }
    (folder / "encoder.json").write_text(json.dumps(description, indent=1) + "\n")


if __name__ == "__main__":
    main()
