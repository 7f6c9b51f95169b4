"""numpy, MABWiser, river and Vowpal Wabbit on the tasks of compare-bandits: one JSON line a figure, on stdout.

usage: peers.py speed | quality | digits DIRECTORY
"""

import json
import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
import warnings

import numpy as np

warnings.filterwarnings("ignore")
# Streams that figures are of, and streams that settings are chosen on.
EVALUATION, CHOICE = [0, 1, 2], [100, 101, 102]
ALPHAS = [0.05, 0.1, 0.15, 0.25, 0.4, 0.6, 1.0, 2.0, 4.0, 8.0, 16.0]
SIZES = [(16, 10), (16, 100), (64, 10), (64, 100), (256, 10), (256, 100)]


def median_us(call, budget=0.5, most=300):
    times, start = [], time.perf_counter()
    call()
    while time.perf_counter() - start < budget and len(times) < most:
        before = time.thread_time()
        call()
        times.append(time.thread_time() - before)
    return float(np.median(times) * 1e6) if times else float("nan")


class Ridge:
    """LinUCB by Sherman-Morrison, all arms in one product."""

    def __init__(self, d, k, alpha, seed=0):
        self.p, self.theta, self.alpha = np.stack([np.eye(d)] * k), np.zeros((k, d)), alpha
        self.rng = np.random.default_rng(seed)

    def select(self, x):
        y = self.p @ x
        value = self.theta @ x + self.alpha * np.sqrt(np.maximum(y @ x, 0.0))
        return int(self.rng.choice(np.flatnonzero(value >= value.max() - 1e-12)))

    def select_fast(self, x):
        y = self.p @ x
        return int(np.argmax(self.theta @ x + self.alpha * np.sqrt(y @ x)))

    def update(self, arm, x, reward):
        v = self.p[arm] @ x
        q = 1.0 + v @ x
        self.p[arm] -= np.outer(v, v) / q
        self.theta[arm] += v * ((reward - self.theta[arm] @ x) / q)


def mabwiser(d, k, alpha, seed=0):
    from mabwiser.mab import MAB, LearningPolicy

    model = MAB(list(range(k)), LearningPolicy.LinUCB(alpha=alpha), seed=seed)
    model.fit(np.arange(k), np.zeros(k), np.zeros((k, d)))
    return model


def available(name):
    """Whether an optional peer is installed; says so where it is not."""
    try:
        return __import__(name)
    except ImportError as error:
        print(f"SKIPPED: {name} is not installed here ({error})", file=sys.stderr, flush=True)
        return None


class River:
    """river's LinUCBDisjoint, whose contexts are dictionaries."""

    def __init__(self, d, k, alpha, seed=0):
        from river import bandit

        self.model, self.arms = bandit.LinUCBDisjoint(alpha=alpha, seed=seed), list(range(k))
        for arm in self.arms:
            self.update(arm, np.zeros(d), 0.0)

    def select(self, x):
        return self.model.pull(self.arms, context=dict(enumerate(x)))

    def update(self, arm, x, reward):
        self.model.update(arm, dict(enumerate(x)), reward)


class VowpalWabbit:
    """SquareCB over linear regressions: not LinUCB, but what a user of VW would take. Examples are text."""

    def __init__(self, d, k, gamma, seed=0):
        import vowpalwabbit

        self.model = vowpalwabbit.Workspace(f"--cb_explore {k} --squarecb --gamma_scale {gamma} --quiet")
        self.rng = np.random.default_rng(seed)

    @staticmethod
    def line(x):
        return "| " + " ".join(f"{place}:{value:.6g}" for place, value in enumerate(x))

    def select(self, x):
        chances = np.array(self.model.predict(self.line(x)))
        self.last = int(self.rng.choice(len(chances), p=chances / chances.sum()))
        self.chance = max(chances[self.last], 1e-6)
        return self.last

    def update(self, arm, x, reward):
        self.model.learn(f"{arm + 1}:{-reward}:{getattr(self, 'chance', 1.0)} " + self.line(x))


def speed():
    others = [(name, make) for name, module, make in (("river LinUCB", "river", River), ("VW SquareCB", "vowpalwabbit", VowpalWabbit)) if available(module)]
    for d, k in SIZES:
        x = np.random.default_rng(0).standard_normal((128, d)) / np.sqrt(d)
        ridge, model, turn = Ridge(d, k, 1.0), mabwiser(d, k, 1.0), [0]

        def context():
            turn[0] += 1
            return x[turn[0] % 128]

        figures = {
            ("numpy LinUCB", "update"): lambda: ridge.update(turn[0] % k, context(), 1.0),
            ("numpy LinUCB", "select"): lambda: ridge.select_fast(context()),
            ("MABWiser LinUCB", "update"): lambda: model.partial_fit([turn[0] % k], [1.0], context()[None]),
            ("MABWiser LinUCB", "select"): lambda: model.predict(context()[None]),
        }
        for name, make in others:
            peer = make(d, k, 1.0)
            figures[name, "update"] = lambda peer=peer: peer.update(turn[0] % k, context(), 1.0)
            figures[name, "select"] = lambda peer=peer: peer.select(context())
        for (peer, what), call in figures.items():
            print(json.dumps({"peer": peer, "what": what, "d": d, "k": k, "us": median_us(call)}), flush=True)


def stream(seed):
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.target))
    return np.hstack([data.data[order] / 16.0, np.ones((len(order), 1))]), data.target[order]


def digits(directory):
    for seed in EVALUATION + CHOICE:
        x, y = stream(seed)
        with open(os.path.join(directory, f"digits-{seed}.csv"), "w") as file:
            for row, label in zip(x, y):
                file.write(",".join([str(int(label))] + [repr(float(value)) for value in row]) + "\n")


def say(task, policy, seed, what, value):
    line = {"task": task, "policy": policy, "seed": seed, "what": what, "value": float(value)}
    print(json.dumps(line), flush=True)


def earn(policy, update, x, y):
    total = 0
    for row, label in zip(x, y):
        arm = policy(row)
        update(arm, row, float(arm == label))
        total += arm == label
    return total / len(y)


def moving_run(alpha, seed, generator):
    """numpy's LinUCB, which stands still, where labels move on by three after each third of two passes."""
    x, y = stream(seed)
    x, y = np.vstack([x, x]), np.concatenate([y, y])
    model = Ridge(x.shape[1], 10, alpha, generator)
    return earn(model.select, model.update, x, (y + 3 * (3 * np.arange(len(y)) // len(y))) % 10)


def mabwiser_run(alpha, seed, generator):
    x, y = stream(seed)
    model = mabwiser(x.shape[1], 10, alpha, generator)
    update = lambda arm, row, reward: model.partial_fit([arm], [reward], row[None])
    return earn(lambda row: model.predict(row[None]), update, x, y)


def of(make):
    def run(setting, seed, generator):
        x, y = stream(seed)
        model = make(x.shape[1], 10, setting, generator)
        return earn(model.select, model.update, x, y)

    return run


def quality():
    peers = [("numpy LinUCB", of(Ridge), 8, ALPHAS), ("MABWiser LinUCB", mabwiser_run, 1, ALPHAS)]
    if available("river"):
        peers.append(("river LinUCB", of(River), 1, ALPHAS))
    # Not Vowpal Wabbit: with its defaults it earns .38 here, and no setting was found that does it justice.
    # Settings are chosen on streams of their own, as ours are.
    for name, run, generators, grid in peers:
        tried = [(value, np.mean([run(value, seed, g) for seed in CHOICE for g in range(generators)])) for value in grid]
        best = max(tried, key=lambda pair: pair[1])[0]
        print(json.dumps({"task": "digits", "policy": name, "setting": f"α={best} λ=1", "tried": tried}), flush=True)
        for seed in EVALUATION:
            for generator in range(generators):
                say("digits", name, seed, "mean reward", run(best, seed, generator))
    print(json.dumps({"task": "digits, moving", "policy": "numpy LinUCB", "setting": "α=0.25 λ=1"}), flush=True)
    for seed in EVALUATION:
        for generator in range(8):
            say("digits, moving", "numpy LinUCB", seed, "mean reward", moving_run(0.25, seed, generator))
    # Kveton et al. 2015, B_LB, L = 16, K = 2: Beta Thompson sampling, 20 runs at once.
    rng, runs = np.random.default_rng(0), 20
    attraction = np.full(16, 0.05)
    attraction[:2] = 0.2
    best, regret = 1 - 0.8**2, np.zeros(runs)
    good, bad, rows = np.ones((runs, 16)), np.ones((runs, 16)), np.arange(runs)[:, None]
    for _ in range(100_000):
        drawn = rng.beta(good, bad)
        chosen = np.argsort(-drawn, axis=1)[:, :2]
        clicks = rng.random((runs, 2)) < attraction[chosen]
        regret += best - (1 - (1 - attraction[chosen]).prod(1))
        seen = np.cumsum(clicks, 1) - clicks == 0
        np.add.at(good, (np.broadcast_to(rows, chosen.shape)[seen], chosen[seen]), clicks[seen])
        np.add.at(bad, (np.broadcast_to(rows, chosen.shape)[seen], chosen[seen]), ~clicks[seen])
    for seed, value in enumerate(regret):
        say("cascade", "numpy Beta-TS", seed, "regret", value)


if __name__ == "__main__":
    {"speed": speed, "quality": quality, "digits": lambda: digits(sys.argv[2])}[sys.argv[1]]()
