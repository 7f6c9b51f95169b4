"""Hugging Face's pipeline and ONNX Runtime answering texts: one JSON request a line in, one JSON answer out.

    peers.py pipeline | onnx | int8  CLASSIFIER SCRATCH      serves requests; THREADS in the environment
    peers.py export  CLASSIFIER SCRATCH                      writes the graphs, once for both sides that read them
    peers.py versions

Requests are {"work": "texts", "file": F, "batch": N, "sorted": B} and {"work": "single", "file": F}.
"""

import json
import os
import sys
import time
from pathlib import Path

THREADS = int(os.environ.get("THREADS", "2"))
MAX_LENGTH = 64


class Pipeline:
    """`transformers.pipeline`, as its documentation has it."""

    def __init__(self, folder, _):
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

        torch.set_num_threads(THREADS)
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        self.pipeline = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(folder), device="cpu")

    def labels(self, texts, batch):
        found = self.pipeline(texts, batch_size=batch, truncation=True, max_length=MAX_LENGTH)
        return [answer["label"] for answer in found]


class Onnx:
    """ONNX Runtime on the exported graph, optimised for transformers where that succeeds, with the `tokenizers` library."""

    def __init__(self, folder, scratch, int8=False):
        import onnxruntime
        from tokenizers import Tokenizer

        self.names = {int(n): name for n, name in json.loads((Path(folder) / "config.json").read_text())["id2label"].items()}
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_LENGTH)
        self.tokenizer.enable_padding()
        graph = export(folder, Path(scratch), int8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def labels(self, texts, batch):
        import numpy

        labels = []
        for start in range(0, len(texts), batch):
            encoded = self.tokenizer.encode_batch(texts[start : start + batch])
            ids = numpy.array([e.ids for e in encoded], dtype=numpy.int64)
            mask = numpy.array([e.attention_mask for e in encoded], dtype=numpy.int64)
            logits = self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
            labels.extend(self.names[int(n)] for n in logits.argmax(1))
        return labels


def export(folder, scratch, int8):
    import torch
    from transformers import AutoModelForSequenceClassification

    graph = scratch / "classifier.onnx"
    if not graph.exists():
        model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager", trust_remote_code=True).eval()

        class Logits(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, input_ids, attention_mask):
                return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

        ids = torch.ones((2, 16), dtype=torch.long)
        axes = {name: {0: "texts", 1: "tokens"} for name in ("input_ids", "attention_mask")}
        torch.onnx.export(
            Logits(), (ids, ids), str(graph), input_names=list(axes), output_names=["logits"],
            dynamic_axes=axes | {"logits": {0: "texts"}}, opset_version=17, dynamo=False,
        )
    config = json.loads((Path(folder) / "config.json").read_text())
    optimised = scratch / "optimised.onnx"
    if not optimised.exists():
        from onnxruntime.transformers import optimizer

        sizes = {"num_heads": config["num_attention_heads"], "hidden_size": config["hidden_size"]}
        optimizer.optimize_model(str(graph), model_type="bert", **sizes).save_model_to_file(str(optimised))
    if not int8:
        return optimised
    quantised = scratch / "int8.onnx"
    if not quantised.exists():
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        # The types behind fused operators are not inferred: they are told.
        told = {"DefaultTensorType": onnx.TensorProto.FLOAT}
        quantize_dynamic(str(optimised), str(quantised), weight_type=QuantType.QInt8, per_channel=True, extra_options=told)
    return quantised


def serve(kind, folder, scratch):
    side = {"pipeline": Pipeline, "onnx": Onnx, "int8": lambda f, s: Onnx(f, s, int8=True)}[kind](folder, scratch)
    for line in sys.stdin:
        request = json.loads(line)
        texts = json.loads(Path(request["file"]).read_text())
        if request["work"] == "single":
            each, labels = [], []
            for text in texts:
                start = time.perf_counter()
                labels += side.labels([text], 1)
                each.append(time.perf_counter() - start)
            answer = {"seconds": sum(each), "labels": labels, "each": each}
        else:
            order = sorted(range(len(texts)), key=lambda n: len(texts[n])) if request.get("sorted") else range(len(texts))
            start = time.perf_counter()
            found = side.labels([texts[n] for n in order], request["batch"])
            labels = [None] * len(texts)
            for n, label in zip(order, found):
                labels[n] = label
            answer = {"seconds": time.perf_counter() - start, "labels": labels}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["versions"]:
        import onnxruntime
        import tokenizers
        import torch
        import transformers

        print(json.dumps({m.__name__: m.__version__ for m in (torch, transformers, tokenizers, onnxruntime)}))
    elif sys.argv[1] == "export":
        export(*map(Path, sys.argv[2:4]), int8=True)
    else:
        serve(*sys.argv[1:4])
