"""Loads each directory below ROOT with `transformers` and compares its logits with those in the .json beside it.

Called by scripts/check-directories. A weight that `transformers` misses or does not know is a failure too.
"""

import json
import sys
from pathlib import Path

import torch
import transformers


def check(folder, expected):
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    model, info = getattr(transformers, architecture).from_pretrained(folder, output_loading_info=True)
    problems = {what: names for what, names in info.items() if names and "key" in what}
    model.eval()
    with torch.no_grad():
        logits = [model(input_ids=torch.tensor([text])).logits[0] for text in expected["texts"]]
    logits = torch.cat(logits) if logits[0].dim() == 2 else torch.stack(logits)
    apart = (logits - torch.tensor(expected["logits"])).abs().max().item()
    right = apart < 2e-4 and not problems
    print(f"{'ok  ' if right else 'FAIL'} {folder.name:40} {architecture:40} apart by {apart:.1e}", problems or "")
    return right


def main():
    root = Path(sys.argv[1])
    transformers.logging.set_verbosity_error()
    results = [check(path.with_suffix(""), json.loads(path.read_text())) for path in sorted(root.glob("*.json"))]
    print(f"{sum(results)} of {len(results)} directories; torch {torch.__version__}, transformers {transformers.__version__}")
    sys.exit(0 if results and all(results) else 1)


if __name__ == "__main__":
    main()
