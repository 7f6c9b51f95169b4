"""PyTorch and ONNX Runtime doing what benches/beside_peers does: one JSON request a line in, one JSON answer out.

    peers.py torch | onnx          serves requests; THREADS in the environment
    peers.py logits REQUEST        the logits of `transformers` for the texts of an export
    peers.py versions

The encoder is written out in plain PyTorch, which is faster than `transformers`; its weights are those of a Hugging Face
directory, so that all answers can be compared.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

THREADS = int(os.environ.get("THREADS", "2"))


class Bert:
    """BertModel with mean pooling, from its tensors by their names."""

    def __init__(self, folder):
        from safetensors.torch import load_file

        config = json.loads((Path(folder) / "config.json").read_text())
        self.layers, self.heads = config["num_hidden_layers"], config["num_attention_heads"]
        self.hidden, self.vocabulary = config["hidden_size"], config["vocab_size"]
        self.epsilon = config["layer_norm_eps"]
        tensors = load_file(Path(folder) / "model.safetensors")
        self.tensors = {name.removeprefix("bert."): t.float() for name, t in tensors.items() if t.is_floating_point()}

    def linear(self, x, name):
        import torch.nn.functional as F

        return F.linear(x, self.tensors[name + ".weight"], self.tensors[name + ".bias"])

    def norm(self, x, name):
        import torch.nn.functional as F

        return F.layer_norm(x, (self.hidden,), self.tensors[name + ".weight"], self.tensors[name + ".bias"], self.epsilon)

    def states(self, ids, mask, fused_attention):
        """(texts, tokens) → (texts, tokens, hidden); `mask` is (texts, 1, 1, tokens), 0 or −∞, or None."""
        import torch
        import torch.nn.functional as F

        texts, tokens = ids.shape
        dim = self.hidden // self.heads
        table = lambda name: self.tensors[f"embeddings.{name}_embeddings.weight"]
        x = F.embedding(ids, table("word")) + table("position")[:tokens] + table("token_type")[0]
        x = self.norm(x, "embeddings.LayerNorm")
        for layer in range(self.layers):
            at = f"encoder.layer.{layer}."
            split = lambda name: self.linear(x, at + "attention.self." + name).view(texts, tokens, self.heads, dim).transpose(1, 2)
            q, k, v = split("query"), split("key"), split("value")
            if fused_attention:
                c = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            else:
                scores = q @ k.transpose(-1, -2) / math.sqrt(dim)
                c = torch.softmax(scores if mask is None else scores + mask, -1) @ v
            c = c.transpose(1, 2).reshape(texts, tokens, self.hidden)
            x = self.norm(x + self.linear(c, at + "attention.output.dense"), at + "attention.output.LayerNorm")
            up = F.gelu(self.linear(x, at + "intermediate.dense"))
            x = self.norm(x + self.linear(up, at + "output.dense"), at + "output.LayerNorm")
        return x

    def pooled(self, ids, mask, fused_attention):
        """The mean state of each text over its real tokens. (texts, hidden)."""
        x = self.states(ids, mask, fused_attention)
        if mask is None:
            return x.mean(1)
        real = (mask[:, 0, 0, :] == 0).float()
        return (x * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)


def batches(request, vocabulary):
    """(ids, mask) of each batch, texts padded to the longest of their batch."""
    import torch

    if "batches" not in request:
        texts, tokens = request["texts"], request["tokens"]
        return [((torch.arange(texts * tokens) * 337 % vocabulary).view(texts, tokens), None)]
    made = []
    for texts in json.loads(Path(request["batches"]).read_text()):
        longest = max(map(len, texts))
        ids = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
        mask = torch.zeros(len(texts), 1, 1, longest)
        for row, text in enumerate(texts):
            mask[row, ..., len(text) :] = float("-inf")
        made.append((ids, None if bool((mask == 0).all()) else mask))
    return made


class Torch:
    def __init__(self, request):
        import torch

        torch.set_num_threads(THREADS)
        self.torch, self.model = torch, Bert(request["model"])
        self.fused = request.get("attention", "fused") == "fused"
        self.batches = batches(request, self.model.vocabulary)
        self.training = request["work"] in ("train", "memory")
        if self.training:
            for tensor in self.model.tensors.values():
                tensor.requires_grad_()
            settings = dict(lr=1e-5, weight_decay=0.01, fused=True)
            self.optimizer = torch.optim.AdamW(self.model.tensors.values(), **settings)
            self.labels = torch.arange(request["texts"]) % 4

    def run(self):
        import torch.nn.functional as F

        start = time.perf_counter()
        if self.training:
            (ids, mask), = self.batches
            logits = self.model.linear(self.model.pooled(ids, mask, self.fused), "classifier")
            loss = F.cross_entropy(logits, self.labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            check = [loss.item()]
        else:
            with self.torch.inference_mode():
                for ids, mask in self.batches:
                    pooled = self.model.pooled(ids, mask, self.fused)
            check = pooled[0, :4].tolist()
        return time.perf_counter() - start, check


class Onnx:
    def __init__(self, request):
        import onnxruntime
        import torch

        folder, optimised = Path(request["model"]), request.get("graph") == "optimised"
        model = Bert(folder)
        self.batches = []
        for ids, mask in batches(request, model.vocabulary):
            mask = torch.zeros(len(ids), 1, 1, ids.shape[1]) if mask is None else mask
            self.batches.append({"ids": ids.numpy(), "mask": mask.numpy()})
        path = Path(request["scratch"]) / f"{folder.name}.onnx"
        if not path.exists():
            self.export(model, path)
        if optimised:
            path = self.optimise(model, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    @staticmethod
    def export(model, path):
        import torch

        class Pooled(torch.nn.Module):
            def forward(self, ids, mask):
                return model.pooled(ids, mask, False)

        example = (torch.zeros(2, 8, dtype=torch.long), torch.zeros(2, 1, 1, 8))
        axes = {"ids": {0: "texts", 1: "tokens"}, "mask": {0: "texts", 3: "tokens"}}
        settings = dict(input_names=["ids", "mask"], dynamic_axes=axes, dynamo=False, opset_version=17)
        torch.onnx.export(Pooled(), example, str(path), **settings)

    @staticmethod
    def optimise(model, path):
        from onnxruntime.transformers import optimizer

        out = path.with_suffix(".optimised.onnx")
        if not out.exists():
            graph = optimizer.optimize_model(str(path), model_type="bert", num_heads=model.heads, hidden_size=model.hidden)
            graph.save_model_to_file(str(out))
            print(json.dumps({"fused": graph.get_fused_operator_statistics()}), file=sys.stderr)
        return out

    def run(self):
        start = time.perf_counter()
        for feed in self.batches:
            pooled = self.session.run(None, feed)[0]
        return time.perf_counter() - start, [float(x) for x in pooled[0, :4]]


def resident(field):
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(field))


def serve(kind):
    made = {}
    for line in sys.stdin:
        request = json.loads(line)
        if line not in made:
            made[line] = {"torch": Torch, "onnx": Onnx}[kind](request)
        if request["work"] == "memory":
            before = resident("VmRSS")
            Path("/proc/self/clear_refs").write_text("5")
            for _ in range(5):
                made[line].run()
            answer = {"bytes": resident("VmHWM") - before}
        else:
            seconds, check = made[line].run()
            answer = {"seconds": seconds, "check": check}
        print(json.dumps(answer), flush=True)


def logits(request):
    import torch
    import transformers

    load = transformers.AutoModelForSequenceClassification.from_pretrained
    model, info = load(request["model"], output_loading_info=True)
    with torch.inference_mode():
        ids = torch.arange(request["texts"] * request["tokens"]) * 337 % model.config.vocab_size
        answer = model.eval()(ids.view(request["texts"], request["tokens"])).logits
    info = {key: sorted(map(str, value)) for key, value in info.items()}
    print(json.dumps({"kind": type(model).__name__, "logits": answer.tolist(), "loading": info}))


def versions():
    import onnxruntime
    import torch
    import transformers

    print(json.dumps({"PyTorch": torch.__version__, "ONNX Runtime": onnxruntime.__version__, "transformers": transformers.__version__}))


if __name__ == "__main__":
    what = sys.argv[1:]
    if what == ["versions"]:
        versions()
    elif what[:1] == ["logits"] and len(what) == 2:
        logits(json.loads(what[1]))
    elif what in (["torch"], ["onnx"]):
        serve(what[0])
    else:
        sys.exit(__doc__)
