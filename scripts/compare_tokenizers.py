#!/usr/bin/env python3
"""Compares our token ids with those of `transformers`: scripts/compare_tokenizers.py DIRECTORY…

Writes difficult texts by a seed, and pairs of them, truncates them, and compares ids and types with those of
`AutoTokenizer.from_pretrained(DIRECTORY)`. Prints a line for each directory, and the first texts with other ids; fails if
there are any, or if only one side reads the directory. With `--slow`, it also reports how many ids of BERT's old tokenizer
in Python differ from those of `AutoTokenizer`.

Needs Python with `transformers`; ours are printed by the example `token_ids` of dht-transformer, which is built unless
`--ours` names it. `--rows FILE` (a table, or a text file) adds real texts.
"""

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = Path(__file__).resolve().parent.parent

SPACES = "\t\n\v\f\r \x1c\x1d\x1e\x1f\x85\xa0\u1680\u180e\u2000\u2003\u2007\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
CONTROLS = "\x00\x01\x07\x08\x0e\x1b\x7f\x80\x9f\xad\u200c\u200d\u200e\u200f\u202a\u202e\u2066\u2069\ufff9\ufffd\ufffe\uffff\ue000\U000e0001\U000e0061\U000f0000\U0010ffff"
CASES = "İıſßẞΣςσΑΣΟΔΟΣǅǆŉΐﬁﬄᾳᾼΩKÅµªºⅧⅷⒶⓐ㎏№℡ĳÆœŁøĐðþğŞÑñÜẽẹỆơƯ"
QUOTES = "’‘“”«»‹›„‚—–-‐‑‒…·•¿¡§¶†‡€£¥₹©®™°±×÷≠≤∞∑√←→↔■●☺♥♻✓【】「」、。！？：；（）《》～＂＇￥％&_^`|\\~<>#@*+=$\"'!?.,;:()[]{}/"
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "👨🏿‍🚀", "🏳️‍🌈", "🇩🇪🇫🇷", "1️⃣", "❤️", "☺︎", "🧑‍⚕️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🫠", "🤦🏻‍♀️"]
PHRASES = [
    "naïve café Ünïcôde", "straße STRASSE", "ÀÉÎÕÜ àéîõü", "Ελληνικά κείμενο ΟΔΟΣ", "Привет, мир! Ёлка й", "שָׁלוֹם עוֹלָם", "مَرْحَبًا بِالعالَم",
    "हिन्दी में लिखा हुआ क्षत्रिय", "ภาษาไทยไม่มีช่องว่าง", "တစ်ခါတစ်ရံ", "ខ្ញុំ", "中文分词测试。", "日本語のテキスト、カタカナ", "ﾊﾝｶｸ ｶﾞ ｷﾞ", "한국어 문장입니다", "각",
    "Việt Nam tiếng Việt đẹp", "ＦＵＬＬ　ｗｉｄｔｈ １２３", "ﷺ ﷽", "𝕳𝖊𝖑𝖑𝖔 𝓦𝓸𝓻𝓵𝓭", "don't I'll we've she's 'Tis o'clock", "e-mail: a.b+c@example.org",
    "https://example.com/a/b?q=1&r=%20#x_y", "3.1415926 1,000,000 1e-10 -5 ٣٤ ४५ ½ ² ₂ x² 10:30", "C++ C# .NET node.js", "snake_case CamelCase kebab-case", "a\u0301e\u0308o\u0302u\u030a",
    "The quick brown fox", "was  two   spaces", "ends with space ", " starts with space", "tab\there", "line\nbreak\r\n", "$100.00!", "...", "?!?!", "``quoted'' text", "do not don ' t , .", "(a)(b)[c]{d}",
    "\u1e69 s\u0323\u0307 s\u0307\u0323", "\u0344\u0390\u03b0 \u1fbe\u2126", "\u2581under \u2581\u2581 _low", "\u0120bytes \u010a", "##piece ## # ##", "</w> <unk> </s>", "的人有", "🥱📷🤏🦾", "<s>", "mở bài lạc trôi", "This is a test. </s> <s> Another one.", "Hello how are you tonight ?",
    "这是一个文本向量化的测试句子", "A\u0302\u0300  A\u0302\u0300", "Ḏ is a composite character", "\u4e00\u4e8c\ufa0e\uf900\U00020000\U0002f800\u3400",
]


def any_character(rng):
    while True:
        code = rng.choice([rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0x10000), rng.randrange(0x20000), rng.randrange(0x110000)])
        if not 0xD800 <= code < 0xE000:
            return chr(code)


class Texts:
    """Difficult texts for a tokenizer."""

    def __init__(self, rng, rows, tokens, pieces):
        self.rng, self.rows, self.tokens, self.pieces = rng, rows, tokens, pieces
        self.marks = [chr(code) for code in range(0x300, 0x1100) if unicodedata.combining(chr(code))]
        blocks = [(0xC0, 0x250), (0x370, 0x590), (0x590, 0x780), (0x900, 0xE00), (0xE00, 0x1100), (0x1100, 0x1200), (0x1E00, 0x2000), (0x2000, 0x2C00), (0x3040, 0x3200), (0x4E00, 0xA000), (0xA000, 0xABFF), (0xAC00, 0xD7A4), (0xF900, 0x10000), (0x1D400, 0x1D800), (0x1F000, 0x1FB00), (0x20000, 0x30000)]
        self.blocks = blocks

    def fragment(self):
        rng = self.rng
        some = lambda alphabet, most: "".join(rng.choice(alphabet) for _ in range(rng.randint(1, most)))
        kind = rng.randrange(16)
        if kind == 0:
            return "".join(any_character(rng) for _ in range(rng.randint(1, 12)))
        if kind == 1:
            return "".join(rng.choice("aeiounscAEIOUSCкиİı") + some(self.marks, 3) for _ in range(rng.randint(1, 6)))
        if kind == 2:
            return "".join(rng.choice(EMOJI) for _ in range(rng.randint(1, 4)))
        if kind == 3:
            start, end = rng.choice(self.blocks)
            return "".join(chr(rng.randrange(start, end)) for _ in range(rng.randint(1, 10)))
        if kind == 4:
            return some(SPACES, 4)
        if kind == 5:
            return rng.choice("xé中") + some(CONTROLS, 3) + rng.choice("yñ ")
        if kind == 6:
            return some(CASES + "abcXYZ", 8)
        if kind == 7:
            return some(QUOTES, 6)
        if kind == 8:
            return rng.choice(["a", "ab", "é", "e\u0301", "中", "Ж", "0", "-", "x1", "😀", "\u0e01"]) * rng.choice([9, 50, 99, 100, 101, 102, 120, 300])
        if kind == 9:
            return str(rng.choice([rng.random(), rng.randrange(10**6), rng.randrange(10**30), -rng.random() * 1e-9]))
        if kind <= 11 and self.tokens:
            token = rng.choice(self.tokens)
            token = rng.choice([token, token, token, token.lower(), token.upper(), token[1:], token + token, " ".join(token), token.replace("[", "[ ")])
            return rng.choice(["", " ", "  ", "\n", "x", "\u3000"]) + token + rng.choice(["", " ", "  ", "\t", "x", "s", "."])
        if kind == 12 and self.pieces:
            return "".join(rng.choice(self.pieces) for _ in range(rng.randint(1, 4)))
        if kind >= 14 and self.rows:
            row = rng.choice(self.rows)
            start = rng.randrange(len(row))
            row = row[start : start + rng.choice([20, 80, 400, 2000])]
            form = rng.choice([None, None, None, "NFD", "NFKC", "NFKD"])
            row = unicodedata.normalize(form, row) if form else row
            return row.upper() if rng.random() < 0.1 else row
        return rng.choice(PHRASES)

    def text(self):
        rng = self.rng
        number = rng.choice([0, 1, 1, 1, 2, 2, 3, 5, 8, 30]) if rng.random() > 0.01 else 300
        between = rng.choice(["", " ", " ", " ", "  ", "\n", ", "])
        return between.join(self.fragment() for _ in range(number))


def rows_of(paths):
    rows = []
    for path in paths:
        opened = gzip.open(path, "rt", encoding="utf-8", errors="replace") if path.endswith(".gz") else open(path, encoding="utf-8", errors="replace")
        with opened as file:
            for _, line in zip(range(5000), file):
                if line.strip():
                    rows.append(line.rstrip("\n"))
    return rows


def our_ids(ours, directory, texts, length):
    """Ids and types, or what our side says when it refuses the directory."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([ours, directory, str(length)], input=lines, text=True, capture_output=True)
    if done.returncode:
        return None, done.stderr.strip().splitlines()[-1]
    return [(line["ids"], line["types"]) for line in map(json.loads, done.stdout.splitlines())], None


def their_ids(tokenizer, texts, length):
    """Ids and types of texts and of pairs. In a batch: a single call drops an empty second text."""
    answers = [None] * len(texts)
    for is_pair in (False, True):
        places = [place for place, text in enumerate(texts) if isinstance(text, list) == is_pair]
        parts = zip(*(texts[place] for place in places)) if is_pair else [[texts[place] for place in places]]
        got = tokenizer(*map(list, parts), truncation=True, max_length=length)
        types = got.get("token_type_ids") or [[0] * len(ids) for ids in got["input_ids"]]
        for place, answer in zip(places, zip(got["input_ids"], types)):
            answers[place] = answer
    return answers


def show(tokenizer, ids):
    return " ".join(f"{number}:{token}" for number, token in zip(ids, map(str, tokenizer.convert_ids_to_tokens(ids))))


def compare(directory, options, rows):
    from transformers import AutoTokenizer

    seen = random.Random(f"{options.seed} {Path(directory).name}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory)
    except Exception as error:  # any of many
        tokenizer, refused = None, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    tokens = [str(token) for token in tokenizer.added_tokens_decoder.values()] if tokenizer else []
    vocabulary = sorted(tokenizer.get_vocab()) if tokenizer else []
    maker = Texts(seen, rows, sorted(set(tokens)), seen.sample(vocabulary, min(len(vocabulary), 2000)))
    texts = ["", " ", "\n", ["", ""]] + PHRASES
    while len(texts) < options.texts:
        texts.append([maker.text(), maker.text()] if seen.random() < 0.25 else maker.text())
    texts = texts[: options.texts]
    ours, said = our_ids(options.ours, directory, texts, options.length)
    if tokenizer is None:
        # Without either side, nothing can differ.
        print(f"{directory}: transformers refuses ({refused}); ours " + ("reads it" if ours else f"refuses: {said}"))
        return ours is None
    if ours is None:
        print(f"{directory}: {type(tokenizer).__name__}; refused by ours: {said}")
        return options.refused
    different = types = 0
    answers = their_ids(tokenizer, texts, options.length)
    for text, mine, theirs in zip(texts, ours, answers):
        if theirs == mine:
            continue
        if theirs[0] == mine[0]:
            types += 1
        else:
            different += 1
        if different + types <= options.show:
            print(f"  {ascii(text)[:400]}\n    theirs {show(tokenizer, theirs[0])[:600]}\n    ours   {show(tokenizer, mine[0])[:600]}")
            if theirs[0] == mine[0]:
                print(f"    types {theirs[1]} {mine[1]}")
    line = f"{directory}: {type(tokenizer).__name__}, {len(texts)} texts, {different} different" + (f", and {types} in types alone" if types else "")
    if options.slow and (Path(directory) / "vocab.txt").exists() and "Bert" in type(tokenizer).__name__:
        from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

        slow = BertTokenizerLegacy.from_pretrained(directory)
        others = sum(left[0] != right[0] for left, right in zip(their_ids(slow, texts, options.length), answers))
        line += f"; BertTokenizerLegacy: {others} different"
    print(line, flush=True)
    return different + types == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="+", metavar="DIRECTORY")
    parser.add_argument("--texts", type=int, default=2000, help="number of texts for each directory")
    parser.add_argument("--length", type=int, default=128, help="maximum number of tokens of a text")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", action="append", default=[], metavar="FILE", help="real texts, one a line; may be gzipped")
    parser.add_argument("--ours", metavar="PROGRAM", help="the example token_ids; without it, cargo builds it")
    parser.add_argument("--show", type=int, default=3, help="number of shown differences of each directory")
    parser.add_argument("--slow", action="store_true", help="report BERT's old tokenizer too")
    parser.add_argument("--refused", action="store_true", help="do not fail at a directory that only ours refuses")
    options = parser.parse_args()
    if options.ours is None:
        subprocess.run(["cargo", "build", "--release", "--locked", "-p", "dht-transformer", "--example", "token_ids"], cwd=ROOT, check=True)
        options.ours = str(Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "examples" / "token_ids")
    rows = rows_of(options.rows)
    equal = [compare(directory, options, rows) for directory in options.directories]
    sys.exit(0 if all(equal) else 1)


if __name__ == "__main__":
    main()
