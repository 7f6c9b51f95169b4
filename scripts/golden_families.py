"""Writes crates/dht-transformer/tests/golden/families/*: tiny models of each family, as `transformers` saves them.

    pip install torch transformers
    python scripts/golden_families.py

For BERT, DistilBERT and RoBERTa a classifier and a model of masked tokens: a directory with config.json and
model.safetensors, and expected.json with what PyTorch makes of some texts in evaluation mode (float32, weights drawn
with a deviation that tells errors apart): the last hidden states of all texts one after another without padding, the
classifier's logits and mean cross-entropy, or, of the masked model, the logits at "rows" and their mean cross-entropy
against "targets", and for some tensors, under BERT's names, the norm of the loss's gradient.
"""

import json
from pathlib import Path

import torch
import transformers
from transformers import (
    BertConfig, BertForMaskedLM, BertForSequenceClassification, DistilBertConfig, DistilBertForMaskedLM,
    DistilBertForSequenceClassification, RobertaConfig, RobertaForMaskedLM, RobertaForSequenceClassification,
)

TEXTS = [[2, 7, 19, 3], [2, 3], [2, 5, 5, 11, 3, 8, 14, 6, 3], [2, 18, 10, 3]]
LABELS = [0, 1, 2, 1]
ROWS, TARGETS = [1, 5, 8, 13, 17], [7, 11, 4, 15, 9]

common = {"vocab_size": 20, "initializer_range": 0.3}
bert = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
FAMILIES = {
    "bert": (
        BertConfig(**common, **bert, max_position_embeddings=12),
        BertForSequenceClassification, BertForMaskedLM,
    ),
    "distilbert": (
        DistilBertConfig(**common, dim=16, n_layers=2, n_heads=4, hidden_dim=24, max_position_embeddings=12),
        DistilBertForSequenceClassification, DistilBertForMaskedLM,
    ),
    "roberta": (
        RobertaConfig(
            **common, **bert, max_position_embeddings=12, type_vocab_size=1, pad_token_id=1, bos_token_id=2,
            eos_token_id=3, layer_norm_eps=1e-5,
        ),
        RobertaForSequenceClassification, RobertaForMaskedLM,
    ),
}
# BERT's names of the parameters whose gradient norms are written, and the families' names.
GRADIENTS = {
    "embeddings.word_embeddings.weight": "embeddings.word_embeddings.weight",
    "embeddings.position_embeddings.weight": "embeddings.position_embeddings.weight",
    "encoder.layer.0.output.dense.weight": {
        "bert": "encoder.layer.0.output.dense.weight", "roberta": "encoder.layer.0.output.dense.weight",
        "distilbert": "transformer.layer.0.ffn.lin2.weight",
    },
}


def scatter(model):
    """Norms and biases other than one and zero, so that the test detects swapped names."""
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            with torch.no_grad():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))


def run(family, model, base, masked):
    """One text at a time, so that the oracle needs no padding."""
    hidden, logits = [], []
    for text in TEXTS:
        out = model(input_ids=torch.tensor([text]), output_hidden_states=True)
        hidden.append(out.hidden_states[-1][0])
        logits.append(out.logits[0])
    hidden = torch.cat(hidden)
    if masked:
        logits, targets = torch.cat(logits)[ROWS], TARGETS
    else:
        logits, targets = torch.stack(logits), LABELS
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(targets))
    loss.backward()
    parameters = dict(base.named_parameters())
    norms = {}
    for bert_name, name in GRADIENTS.items():
        name = name if isinstance(name, str) else name[family]
        norms[bert_name] = parameters[name].grad.norm().item()
    return {
        "texts": TEXTS, "labels": LABELS, "rows": ROWS, "targets": TARGETS,
        "hidden": hidden.tolist(), "logits": logits.tolist(), "loss": loss.item(), "gradient_norms": norms,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def main():
    root = Path(__file__).parent.parent / "crates/dht-transformer/tests/golden/families"
    for family, (config, classifier, masked_model) in FAMILIES.items():
        for kind, build in [("classifier", classifier), ("masked", masked_model)]:
            torch.manual_seed(11)
            config.num_labels = 3
            model = build(config).eval()
            scatter(model)
            folder = root / f"{family}-{kind}"
            model.save_pretrained(folder)
            (folder / "generation_config.json").unlink(missing_ok=True)
            expected = run(family, model, model.base_model, kind == "masked")
            (folder / "expected.json").write_text(json.dumps(expected) + "\n")
            print(folder, sum(file.stat().st_size for file in folder.iterdir()), "bytes")


if __name__ == "__main__":
    main()
