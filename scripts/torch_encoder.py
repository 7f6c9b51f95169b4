#!/usr/bin/env python3
"""PyTorch at the work that device_check times: inference and a training step of BERT-base's size, 64 texts of 128 tokens.

    scripts/torch_encoder.py [--device cuda] [--layers 12] [--repetitions 10] [--compile]

Random weights, torch's scaled_dot_product_attention, AdamW (fused on CUDA); eager, and with --compile through torch.compile too. In
bf16, inference has its weights in bf16, and training f32 weights under autocast. Prints one JSON object with the median of the
repetitions, each until the device has done it; three runs before them do not count, so that compiling is not timed.
"""

import argparse
import contextlib
import json
import time

import torch
from torch import nn
from torch.nn import functional

HIDDEN, HEADS, FFN, VOCABULARY, CLASSES = 768, 12, 3072, 30_522, 3
TEXTS, TOKENS = 64, 128


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.output = nn.Linear(HIDDEN, 3 * HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.up, self.down = nn.Linear(HIDDEN, FFN), nn.Linear(FFN, HIDDEN)
        self.norms = nn.ModuleList(nn.LayerNorm(HIDDEN, 1e-12) for _ in range(2))

    def dropped(self, rows):
        return functional.dropout(rows, 0.1, self.training)

    def forward(self, rows):
        texts, tokens, _ = rows.shape
        q, k, v = self.qkv(rows).view(texts, tokens, 3, HEADS, HIDDEN // HEADS).permute(2, 0, 3, 1, 4)
        context = functional.scaled_dot_product_attention(q, k, v, dropout_p=0.1 if self.training else 0.0)
        context = context.transpose(1, 2).reshape(texts, tokens, HIDDEN)
        rows = self.norms[0](rows + self.dropped(self.output(context)))
        return self.norms[1](rows + self.dropped(self.down(functional.gelu(self.up(rows)))))


class Classifier(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.words, self.positions = nn.Embedding(VOCABULARY, HIDDEN), nn.Embedding(512, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN, 1e-12)
        self.layers = nn.ModuleList(Layer() for _ in range(layers))
        self.pooler, self.classes = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, CLASSES)

    def forward(self, ids):
        places = torch.arange(ids.shape[1], device=ids.device)
        rows = functional.dropout(self.norm(self.words(ids) + self.positions(places)), 0.1, self.training)
        for layer in self.layers:
            rows = layer(rows)
        return self.classes(torch.tanh(self.pooler(rows[:, 0])))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    finished = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)

    def median(work):
        seconds = []
        for run in range(arguments.repetitions + 3):
            finished()
            start = time.perf_counter()
            work()
            finished()
            if run >= 3:
                seconds.append(time.perf_counter() - start)
        return sorted(seconds)[len(seconds) // 2]

    ids = torch.randint(5, VOCABULARY, (TEXTS, TOKENS), device=device)
    labels = torch.randint(0, CLASSES, (TEXTS,), device=device)
    times = []
    modes = ("eager", "torch.compile") if arguments.compile else ("eager",)
    precisions = ("f32", "tf32", "bf16") if device.type == "cuda" else ("f32",)
    for mode, precision in ((mode, precision) for mode in modes for precision in precisions):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        half = precision == "bf16"
        model = Classifier(arguments.layers).to(device)
        # Each shape and precision is compiled for itself.
        torch.compiler.reset()
        compiled = torch.compile(model) if mode == "torch.compile" else model
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=device.type == "cuda")

        def step():
            cast = torch.autocast(device.type, torch.bfloat16) if half else contextlib.nullcontext()
            with cast:
                logits = compiled(ids)
            functional.cross_entropy(logits.float(), labels).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        training = median(step)
        model = (model.to(torch.bfloat16) if half else model).eval()
        compiled = torch.compile(model) if mode == "torch.compile" else model
        with torch.inference_mode():
            inference = median(lambda: compiled(ids))
        both = (("inference", inference), ("training_step", training))
        per_second = {name: {"seconds": s, "texts_per_second": TEXTS / s} for name, s in both}
        times.append({"mode": mode, "precision": precision, **per_second})
    print(json.dumps({"torch": torch.__version__, "times": times}, indent=2))


if __name__ == "__main__":
    main()
