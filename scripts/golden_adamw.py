"""Writes crates/dht-transformer/tests/golden/adamw.json: fifty steps of PyTorch's AdamW on a few small parameters.

    pip install torch
    python scripts/golden_adamw.py

Gradients change sign and size from step to step, one parameter has gradients in some rows only, one has none in some
steps, the learning rate has a warm-up and a linear decay, and the same gradients are used with and without clipping.
"""

import json
import math
import random
from pathlib import Path

import torch

STEPS = 50
WARM_UP = 5
SETTINGS = {"learning_rate": 2e-3, "beta1": 0.9, "beta2": 0.98, "epsilon": 1e-6, "weight_decay": 0.1}
CLIP_NORM = 0.5
# name, shape, whether it decays
PARAMETERS = [
    ("embeddings.word_embeddings.weight", [4, 3], True),
    ("encoder.layer.0.dense.weight", [2, 3], True),
    ("encoder.layer.0.dense.bias", [3], False),
    ("encoder.layer.0.LayerNorm.weight", [2], False),
    ("classifier.weight", [2], True),
]


def rounded(value):
    return float(f"{value:.4g}")


def draw_gradients(random_numbers):
    steps = []
    for step in range(STEPS):
        size = 10.0 ** random_numbers.uniform(-4, 1)
        gradients = []
        for name, shape, _ in PARAMETERS:
            if name.startswith("classifier") and step % 4 == 1:
                gradients.append(None)
                continue
            values = [rounded(size * random_numbers.gauss(0.2, 1)) for _ in range(math.prod(shape))]
            if name.startswith("embeddings"):
                for row in range(shape[0]):
                    # Row 3 never occurs, the others sometimes.
                    if row == 3 or random_numbers.random() < 0.6:
                        values[row * shape[1] : (row + 1) * shape[1]] = [0.0] * shape[1]
            gradients.append(values)
        steps.append(gradients)
    return steps


def run(initial, gradients, rates, clip_norm):
    tensors = [
        torch.nn.Parameter(torch.tensor(values, dtype=torch.float32).reshape(shape))
        for values, (_, shape, _) in zip(initial, PARAMETERS)
    ]
    groups = [
        {"params": [t for t, (_, _, decays) in zip(tensors, PARAMETERS) if decays], "weight_decay": SETTINGS["weight_decay"]},
        {"params": [t for t, (_, _, decays) in zip(tensors, PARAMETERS) if not decays], "weight_decay": 0.0},
    ]
    betas = (SETTINGS["beta1"], SETTINGS["beta2"])
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=betas, eps=SETTINGS["epsilon"], foreach=False)
    norms, values = [], {}
    for step in range(STEPS):
        for tensor, gradient in zip(tensors, gradients[step]):
            tensor.grad = None if gradient is None else torch.tensor(gradient, dtype=torch.float32).reshape(tensor.shape)
        limit = math.inf if clip_norm is None else clip_norm
        norms.append(float(torch.nn.utils.clip_grad_norm_(tensors, limit)))
        for group in optimizer.param_groups:
            group["lr"] = rates[step]
        optimizer.step()
        if step + 1 in (1, 10, STEPS):
            values[str(step + 1)] = [tensor.detach().flatten().tolist() for tensor in tensors]
    state = [optimizer.state[tensor] for tensor in tensors]
    return {
        "clip_norm": clip_norm,
        "norms": norms,
        "values": values,
        "steps": [int(one["step"]) for one in state],
        "first": [one["exp_avg"].flatten().tolist() for one in state],
        "second": [one["exp_avg_sq"].flatten().tolist() for one in state],
    }


def main():
    random_numbers = random.Random(20)
    initial = [
        [rounded(random_numbers.choice([-1, 1]) * random_numbers.uniform(0.5, 1.5)) for _ in range(math.prod(shape))]
        for _, shape, _ in PARAMETERS
    ]
    gradients = draw_gradients(random_numbers)
    rates = [
        SETTINGS["learning_rate"] * (step / WARM_UP if step < WARM_UP else (STEPS - step) / (STEPS - WARM_UP))
        for step in range(STEPS)
    ]
    golden = {
        "torch": torch.__version__.split("+")[0],
        "settings": SETTINGS,
        "warm_up": WARM_UP,
        "parameters": [
            {"name": name, "shape": shape, "initial": values}
            for (name, shape, _), values in zip(PARAMETERS, initial)
        ],
        "gradients": gradients,
        "runs": [run(initial, gradients, rates, clip_norm) for clip_norm in (None, CLIP_NORM)],
    }
    path = Path(__file__).resolve().parent.parent / "crates/dht-transformer/tests/golden/adamw.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = json.dumps(golden).replace('"gradients": [', '"gradients": [\n').replace("]], [[", "]],\n[[")
    path.write_text(lines + "\n")


if __name__ == "__main__":
    main()
