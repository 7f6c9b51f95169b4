"""A text classifier on the first or the mean of the last hidden states, for which `transformers` has no class.

Written by dht-transformer, and read by
AutoModelForSequenceClassification.from_pretrained(DIRECTORY, trust_remote_code=True).
"""

import torch
from transformers import {class}Config, {class}Model, {class}PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class Dht{class}Config({class}Config):
    model_type = "{model_type}"


class Dht{class}ForSequenceClassification({class}PreTrainedModel):
    config_class = Dht{class}Config

    def __init__(self, config):
        super().__init__(config)
        if config.classifier_pooling not in ("cls", "mean"):
            raise ValueError(f"classifier_pooling is {config.classifier_pooling!r}, expected 'cls' or 'mean'")
        self.num_labels = config.num_labels
        self.{encoder} = {class}Model(config{arguments})
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, labels=None, **inputs):
        inputs["return_dict"] = True
        output = self.{encoder}(input_ids=input_ids, attention_mask=attention_mask, **inputs)
        hidden = output.last_hidden_state
        if self.config.classifier_pooling == "cls":
            pooled = hidden[:, 0]
        elif attention_mask is None:
            pooled = hidden.mean(dim=1)
        else:
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        logits = self.classifier(pooled)
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=output.hidden_states, attentions=output.attentions
        )
