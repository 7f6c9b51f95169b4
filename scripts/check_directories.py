"""Loads each directory below ROOT with `transformers` and compares its answers with those in the .json beside it.

Called by scripts/check-directories. Directories with token ids are loaded by the class in their configuration, and logits are
compared; missing or unknown weights are failures too. Directories with texts are loaded by
AutoModelForSequenceClassification, as by a user: either probabilities are equal, or the directory is refused and probabilities
are equal once its code is trusted.
"""

import json
import sys
from pathlib import Path

import torch
import transformers

LOGITS, PROBABILITIES = 2e-4, 1e-5
BATCH = 16


def by_name(folder, expected):
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    model, info = getattr(transformers, architecture).from_pretrained(folder, output_loading_info=True)
    problems = {what: names for what, names in info.items() if names and "key" in what}
    model.eval()
    with torch.no_grad():
        logits = [model(input_ids=torch.tensor([text])).logits[0] for text in expected["texts"]]
    logits = torch.cat(logits) if logits[0].dim() == 2 else torch.stack(logits)
    apart = (logits - torch.tensor(expected["logits"])).abs().max().item()
    right = apart < LOGITS and not problems
    print(f"{'ok  ' if right else 'FAIL'} {folder.name:40} {architecture:40} apart by {apart:.1e}", problems or "")
    return right


def probabilities(folder, expected, **options):
    """The largest difference of a probability, and other problems."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True, **options
    )
    problems = {what: names for what, names in info.items() if names and "key" in what}
    model.eval()
    logits = []
    for first in range(0, len(expected["strings"]), BATCH):
        texts = expected["strings"][first : first + BATCH]
        batch = tokenizer(texts, truncation=True, max_length=expected["max_length"], padding=True, return_tensors="pt")
        with torch.no_grad():
            logits.append(model(**batch).logits)
    logits = torch.cat(logits)
    answers = {
        "single_label_classification": lambda: logits.softmax(-1),
        "multi_label_classification": lambda: logits.sigmoid(),
        "regression": lambda: logits,
    }[expected["task"]]()
    return (answers - torch.tensor(expected["answers"])).abs().max().item(), problems


def as_a_user(folder, expected):
    try:
        apart, problems = probabilities(folder, expected, trust_remote_code=False)
        stock, right = f"apart by {apart:.1e}", apart < PROBABILITIES and not problems
    except ValueError as refusal:
        # "The repository … contains custom code … . You can inspect … . Please pass the argument …"
        said = " ".join(str(refusal).split())
        stock = f"refused: {said[said.find('contains') : said.find(' You can')]} {said[said.find('Please') :]}"
        right, problems = "trust_remote_code=True" in said, {}
    trusted = ""
    if stock.startswith("refused"):
        apart, problems = probabilities(folder, expected, trust_remote_code=True)
        trusted, right = f"apart by {apart:.1e}", right and apart < PROBABILITIES and not problems
    print(
        f"| {'ok' if right else 'FAIL'} | {folder.name} | {expected['family']} | {expected['pooling']} "
        f"| {expected['task']} | {stock} | {trusted} | {problems or ''}"
    )
    return right


def main():
    root = Path(sys.argv[1])
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    cases = [(path.with_suffix(""), json.loads(path.read_text())) for path in sorted(root.glob("*.json"))]
    results = [by_name(*case) for case in cases if "texts" in case[1]]
    print("\n| | directory | family | pooling | task | stock | with its code trusted |\n|---|---|---|---|---|---|---|")
    results += [as_a_user(*case) for case in cases if "strings" in case[1]]
    print(f"{sum(results)} of {len(results)} directories; torch {torch.__version__}, transformers {transformers.__version__}")
    sys.exit(0 if results and all(results) else 1)


if __name__ == "__main__":
    main()
