"""Fine-tunes a classifier with PyTorch and `transformers`, as a stranger to this project would, and saves its directory.

    python scripts/fine_tune_classifier.py MODEL TRAIN.csv OUT [ROWS]

TRAIN.csv is AG News's: a label from 1, a title and a text, without a row of names. The directory is for
`cargo run --release -p dht-dynamic --example accelerate -- OUT DATA ROWS`.
"""

import csv
import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

EPOCHS, BATCH, RATE, LENGTH = 2, 32, 1e-4, 64


def main():
    folder, data, out = sys.argv[1:4]
    rows = int(sys.argv[4]) if len(sys.argv) > 4 else None
    with open(data, newline="", encoding="utf-8") as file:
        lines = [line for line in csv.reader(file)][:rows]
    texts = [" ".join(line[1:]) for line in lines]
    names = sorted({line[0] for line in lines})
    labels = torch.tensor([names.index(line[0]) for line in lines])
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: at for at, name in enumerate(names)},
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    steps = EPOCHS * -(-len(texts) // BATCH)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    model.train()
    for epoch in range(EPOCHS):
        # Texts of like length together, batches in random order.
        order = torch.randperm(len(texts)).split(20 * BATCH)
        batches = [
            batch
            for window in order
            for batch in torch.tensor(sorted(window.tolist(), key=lambda row: len(texts[row]))).split(BATCH)
        ]
        for at in torch.randperm(len(batches)).tolist():
            picked = batches[at]
            batch = tokenizer(
                [texts[row] for row in picked.tolist()],
                truncation=True,
                max_length=LENGTH,
                padding=True,
                return_tensors="pt",
            )
            loss = model(**batch, labels=labels[picked]).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        print(f"epoch {epoch + 1}: loss of the last batch {loss.item():.3f}", flush=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    main()
