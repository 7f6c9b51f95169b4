"""Learning from a poor log: dht-bandits' example `learn_from_log` and Vowpal Wabbit, by accuracy on other rows.

usage: compare_offline.py DIRECTORY [--splits N]

It needs vowpalwabbit, scikit-learn, and `cargo build --release -p dht-bandits --features log --example learn_from_log`
(LEARN_FROM_LOG is the path of another build). It writes docs/records/offline.json and the table of the page. Two thirds of the rows of
a data set are logged by a poor policy: a tenth uniform, the rest the softmax of a logistic regression on a few rows. "noisy" is
simulated: a click with probability .5 for the right of five arms, .2 for others. Settings of our learners are those of their
defaults; of Vowpal Wabbit the best learning rate of .1 and .5 by these very test rows counts, with three passes.
"""

import csv
import os
import subprocess
import sys

import bandit_page
import numpy as np

PROGRAM = os.environ.get("LEARN_FROM_LOG", "target/release/examples/learn_from_log")
# Rows of the logging policy's regression, and its temperature.
SETS = {"digits": (100, 1.05), "cancer": (20, 0.45), "noisy": (60, 1.0)}


def rows_of(name, seed):
    from sklearn import datasets

    if name == "noisy":
        rng = np.random.default_rng(seed + 1000)
        x, weights = rng.normal(size=(1500, 10)), rng.normal(size=(10, 5))
        return x, (x @ weights).argmax(1)
    load = datasets.load_digits if name == "digits" else datasets.load_breast_cancer
    return load(return_X_y=True)


def prepare(directory, name, seed):
    from sklearn.linear_model import LogisticRegression

    (few, temperature), rng = SETS[name], np.random.default_rng(seed)
    x, y = rows_of(name, seed)
    deviation = x.std(0)
    x = np.where(deviation > 0, (x - x.mean(0)) / np.where(deviation > 0, deviation, 1), 0)
    order = rng.permutation(len(y))
    x, y = x[order], y[order]
    train, arms = 2 * len(y) // 3, y.max() + 1
    model = LogisticRegression(C=0.05, max_iter=500).fit(x[:few], y[:few])
    logits, decision = np.full((len(y), arms), -3.0), model.decision_function(x)
    if arms > 2:
        logits[:, model.classes_] = decision
    else:
        logits = np.c_[-decision / 2, decision / 2]
    share = np.exp(logits / temperature)
    share = 0.9 * share / share.sum(1, keepdims=True) + 0.1 / arms
    chosen = np.array([rng.choice(arms, p=row) for row in share])
    reward = (chosen == y).astype(float)
    if name == "noisy":
        reward = (rng.random(len(y)) < np.where(chosen == y, 0.5, 0.2)).astype(float)
    propensity = share[np.arange(len(y)), chosen]
    header = "arm,propensity,reward," + ",".join(f"x{index}" for index in range(x.shape[1])) + "\n"
    for kind, rows, arm, p, r in (
        ("log", range(train), chosen, propensity, reward),
        ("test", range(train, len(y)), y, np.ones(len(y)), np.ones(len(y))),
    ):
        with open(f"{directory}/{name}{seed}.{kind}.csv", "w") as file:
            file.write(header)
            for row in rows:
                values = ",".join(repr(float(value)) for value in x[row])
                file.write(f"{arm[row]},{float(p[row])!r},{r[row]},{values}\n")
    return float((chosen[:train] == y[:train]).mean())


def load(path):
    reader = csv.reader(open(path))
    next(reader)
    return [(int(arm), float(p), float(reward), [float(value) for value in x]) for arm, p, reward, *x in reader]


def wabbit(directory, name, seed, kind, rate):
    import vowpalwabbit

    log, test = (load(f"{directory}/{name}{seed}.{part}.csv") for part in ("log", "test"))
    arms = max(row[0] for row in log + test) + 1
    path = f"{directory}/{name}{seed}.vw"

    def event(x, chosen=None, label=""):
        features = " ".join(f"{index}:{value:.6g}" for index, value in enumerate(x) if value)
        return [f"shared |u {features}"] + [f"{label if arm == chosen else ''}|x a{arm}" for arm in range(arms)]

    if not os.path.exists(path):
        with open(path, "w") as file:
            for arm, propensity, reward, x in log:
                file.write("\n".join(event(x, arm, f"0:{-reward}:{propensity} ")) + "\n\n")
    passes = f"-d {path} --passes 3 -k --cache_file {path}.cache --holdout_off"
    model = vowpalwabbit.Workspace(f"--cb_adf --cb_type {kind} -q ux --quiet -l {rate} {passes}")
    right = sum(int(np.argmin(model.predict(event(x)))) == arm for arm, _, _, x in test)
    model.finish()
    return right / len(test)


def ours(directory, name, seed):
    paths = [f"{directory}/{name}{seed}.{part}.csv" for part in ("log", "test")]
    lines = subprocess.run([PROGRAM, *paths], capture_output=True, text=True, check=True).stdout.splitlines()
    return {learner: float(accuracy) for learner, accuracy in (line.split() for line in lines)}


def interval(differences):
    rng = np.random.default_rng(1)
    means = [rng.choice(differences, len(differences)).mean() for _ in range(10_000)]
    return f"{np.mean(differences):+.4f} ({np.quantile(means, 0.025):+.4f} to {np.quantile(means, 0.975):+.4f})"


def main():
    directory, splits = sys.argv[1], range(int(sys.argv[3]) if len(sys.argv) > 3 else 10)
    record = {}
    table = ["| set | policy | accuracy | minus VW's best | minus the log |", "|---|---|---|---|---|"]
    for name in SETS:
        logs = [prepare(directory, name, seed) for seed in splits]
        own = [ours(directory, name, seed) | {"log": log} for seed, log in zip(splits, logs)]
        peers = {
            f"VW {kind} -l {rate}": [wabbit(directory, name, seed, kind, rate) for seed in splits]
            for kind in ("mtr", "ips", "dm", "dr")
            for rate in (0.1, 0.5)
        }
        best = max(peers, key=lambda peer: np.mean(peers[peer]))
        record[name] = {learner: [row[learner] for row in own] for learner in own[0]} | peers
        log = np.array(record[name]["log"])
        for learner, accuracies in record[name].items():
            accuracies = np.array(accuracies)
            above_best = "–" if learner in ("log", best) else interval(accuracies - np.array(peers[best]))
            above_log = "–" if learner == "log" else interval(accuracies - log)
            note = " (best)" if learner == best else ""
            table.append(f"| {name} | {learner}{note} | {accuracies.mean():.4f} | {above_best} | {above_log} |")
            print(table[-1], flush=True)
    bandit_page.store("offline", {"machine": bandit_page.machine(), "accuracies": record}, "\n".join(table))


main()
