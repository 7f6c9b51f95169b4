"""Writes crates/dht-transformer/tests/golden/families/*: tiny models of each family, as `transformers` saves them.

    pip install torch transformers
    python scripts/golden_families.py [MPNET]

MPNET is the directory that scripts/fetch-mpnet writes; with it, ../mpnet.json has the tokens of some texts, and the first
numbers of the mean of their last hidden states.

For each family a classifier and a model of masked tokens: a directory with config.json and
model.safetensors, and expected.json with what PyTorch makes of some texts in evaluation mode (float32, weights drawn
with a deviation that tells errors apart): the last hidden states of all texts one after another without padding, the
classifier's logits and mean cross-entropy, or, of the masked model, the logits at "rows" and their mean cross-entropy
against "targets", and for some tensors, under BERT's names, the norm of the loss's gradient.
"""

import json
import sys
from pathlib import Path

import torch
import transformers

TEXTS = [[2, 7, 19, 3], [2, 3], [2, 5, 5, 11, 3, 8, 14, 6, 3], [2, 18, 10, 3]]
LABELS = [0, 1, 2, 1]
ROWS, TARGETS = [1, 5, 8, 13, 17], [7, 11, 4, 15, 9]
MPNET_TEXTS = [
    "A short text.",
    "Ünïcode, numbers like 3.1415 and an unknown 🥱.",
    "Positions and distances of many tokens are told apart: " + "the cat sat on the mat, and the dog did not mind. " * 12,
]
# A text with distances in most buckets of MPNet.
LONG = [2] + [4 + 7 * place % 16 for place in range(56)] + [3]

common = {"vocab_size": 20, "initializer_range": 0.3}
bert = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
short = {"max_position_embeddings": 12}
special = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3, "layer_norm_eps": 1e-5}
roberta = {**bert, **short, **special, "type_vocab_size": 1}
# Class names in `transformers`, and the configuration.
FAMILIES = {
    "bert": ("Bert", {**bert, **short}),
    "distilbert": ("DistilBert", {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24, **short}),
    "roberta": ("Roberta", roberta),
    "xlm-roberta": ("XLMRoberta", roberta),
    "camembert": ("Camembert", roberta),
    "mpnet": ("MPNet", {**bert, **special, "max_position_embeddings": 60}),
}
# BERT's names of the parameters whose gradient norms are written, where the family has them, and DistilBERT's names.
GRADIENTS = {
    "embeddings.word_embeddings.weight": None,
    "embeddings.position_embeddings.weight": None,
    "encoder.layer.0.output.dense.weight": "transformer.layer.0.ffn.lin2.weight",
    "encoder.relative_attention_bias.weight": None,
}


def scatter(model):
    """Norms and biases other than one and zero, so that the test detects swapped names."""
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            with torch.no_grad():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))


def run(texts, labels, model, base, masked):
    """One text at a time, so that the oracle needs no padding."""
    hidden, logits = [], []
    for text in texts:
        out = model(input_ids=torch.tensor([text]), output_hidden_states=True)
        hidden.append(out.hidden_states[-1][0])
        logits.append(out.logits[0])
    hidden = torch.cat(hidden)
    if masked:
        logits, targets = torch.cat(logits)[ROWS], TARGETS
    else:
        logits, targets = torch.stack(logits), labels
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(targets))
    loss.backward()
    parameters = dict(base.named_parameters())
    norms = {}
    for bert_name, name in GRADIENTS.items():
        for name in {bert_name, name} & parameters.keys():
            norms[bert_name] = parameters[name].grad.norm().item()
    return {
        "texts": texts, "labels": labels, "rows": ROWS, "targets": TARGETS,
        "hidden": hidden.tolist(), "logits": logits.tolist(), "loss": loss.item(), "gradient_norms": norms,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def run_mpnet(folder):
    """Real texts through a real encoder of 12 × 768."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.MPNetModel.from_pretrained(folder).eval()
    texts = []
    for text in MPNET_TEXTS:
        ids = tokenizer(text)["input_ids"]
        with torch.no_grad():
            hidden = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        texts.append({"text": text, "ids": ids, "mean": hidden.mean(0)[:16].tolist(), "norm": hidden.norm().item()})
    return {"texts": texts, "versions": {"torch": torch.__version__, "transformers": transformers.__version__}}


def main():
    root = Path(__file__).parent.parent / "crates/dht-transformer/tests/golden/families"
    for family, (name, fields) in FAMILIES.items():
        config = getattr(transformers, f"{name}Config")(**common, **fields)
        texts, labels = (TEXTS + [LONG], LABELS + [0]) if family == "mpnet" else (TEXTS, LABELS)
        for kind, head in [("classifier", "SequenceClassification"), ("masked", "MaskedLM")]:
            build = getattr(transformers, f"{name}For{head}")
            torch.manual_seed(11)
            config.num_labels = 3
            model = build(config).eval()
            scatter(model)
            folder = root / f"{family}-{kind}"
            model.save_pretrained(folder)
            (folder / "generation_config.json").unlink(missing_ok=True)
            expected = run(texts, labels, model, model.base_model, kind == "masked")
            (folder / "expected.json").write_text(json.dumps(expected) + "\n")
            print(folder, sum(file.stat().st_size for file in folder.iterdir()), "bytes")
    if len(sys.argv) > 1:
        (root.parent / "mpnet.json").write_text(json.dumps(run_mpnet(sys.argv[1]), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
