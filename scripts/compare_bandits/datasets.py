"""Multi-class data sets as bandits: exports them for our binary, and runs the peers on them. One JSON line a figure, on stdout.

usage: datasets.py export DIRECTORY | peers DIRECTORY SET ...

A row is a context, its class the rewarded arm: 1 for the class, 0 for every other arm. One pass in a random order; the figure is
the mean reward of the pass. Features are standardised over the whole set for the peers; a constant 1 is appended for those that
do not add one of their own. "noisy" is simulated: real rewards, linear in ten features, with noise of deviation 1.
"""

import json
import os
import sys
import time
import warnings

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np

warnings.filterwarnings("ignore")
# Orders of the rows: figures are of the first, settings are selected on the second. `src/datasets.rs` reads them in this order.
EVALUATION, SELECTION = range(10), range(100, 110)
# Settings are selected on the first; the others are not used for it. Those of "noisy" are selected on worlds of its own, since its
# rewards are on another scale.
SELECTION_SETS, OTHER_SETS, SIMULATED = ["iris", "cancer"], ["wine", "digits"], "noisy"


def bundled(name):
    from sklearn import datasets

    load = {"iris": datasets.load_iris, "wine": datasets.load_wine, "cancer": datasets.load_breast_cancer, "digits": datasets.load_digits}
    data = load[name]()
    return data.data, data.target


def standardised(x):
    deviation = x.std(0)
    return np.where(deviation > 0, (x - x.mean(0)) / np.where(deviation > 0, deviation, 1.0), 0.0)


def write(directory, name, kind, rows):
    with open(os.path.join(directory, f"{name}-{kind}.csv"), "w") as file:
        for row in rows:
            file.write(",".join(repr(value.item()) for value in row) + "\n")


def write_set(directory, name, x, rewards, orders):
    for kind, rows in (("raw", x), ("standardised", standardised(x)), ("rewards", rewards), ("orders", orders)):
        write(directory, name, kind, rows)


def classes(directory, name, x, y, seeds=None):
    """A set whose rewards are 1 for the class of a row."""
    orders = [np.random.default_rng(seed).permutation(len(y)) for seed in seeds or [*EVALUATION, *SELECTION]]
    write_set(directory, name, x, np.eye(int(y.max()) + 1)[y], orders)


def noisy(rows=1000, features=10, arms=5):
    """For each seed a world of its own: features of all scales and offsets, weights and offsets of arms, noise of deviation 1."""
    xs, rewards, orders = [], [], []
    for seed in [*EVALUATION, *SELECTION]:
        rng = np.random.default_rng(1000 + seed)
        z = rng.standard_normal((rows, features))
        means = z @ rng.standard_normal((features, arms)) / features**0.5 + 0.5 * rng.standard_normal(arms)
        xs.append((z + rng.standard_normal(features)) * 10 ** rng.uniform(-2, 2, features))
        rewards.append(means + rng.standard_normal((rows, 1)))
        orders.append(np.arange(rows) + rows * len(orders))
    return np.vstack(xs), np.vstack(rewards), orders


def export(directory):
    for name in SELECTION_SETS + OTHER_SETS:
        classes(directory, name, *bundled(name))
    x, rewards, orders = noisy()
    write_set(directory, SIMULATED, x, rewards, orders)
    # The peers see each world standardised for itself.
    write(directory, SIMULATED, "standardised", np.vstack([standardised(x[order]) for order in orders]))


def read(directory, name):
    load = lambda kind, dtype=float: np.loadtxt(os.path.join(directory, f"{name}-{kind}.csv"), delimiter=",", dtype=dtype)
    orders = load("orders", int)
    return load("standardised"), load("rewards"), dict(zip([*EVALUATION, *SELECTION], orders))


def with_one(x):
    return np.hstack([x, np.ones((len(x), 1))])


def vowpal_wabbit(options):
    """Contexts as text; VW adds a constant. `setting` is (exploration's value, learning rate, cost, layout): costs of −reward start
    with a pessimistic model, costs of 1 − reward with an optimistic one; "adf" describes arms by a feature each, with products.

    Features have names: VW takes a number for an index of its table, in which those of several arms collide.
    """

    def run(x, rewards, setting, seed):
        import vowpalwabbit

        value, rate, cost, layout = setting
        arms, adf = rewards.shape[1], layout == "adf"
        base = "--cb_explore_adf -q UA" if adf else f"--cb_explore {arms}"
        model = vowpalwabbit.Workspace(f"{base} {options.format(value)} -l {rate} --random_seed {seed + 1} --quiet")
        rng, total = np.random.default_rng(seed), 0
        for row, paid in zip(x, rewards):
            features = " ".join(f"f{place}:{value:.6g}" for place, value in enumerate(row))
            lines = [f"shared |U {features}"] + [f"|A a{arm}" for arm in range(arms)] if adf else f"| {features}"
            chances = np.array(model.predict(lines))
            arm = int(rng.choice(arms, p=chances / chances.sum()))
            reward = float(paid[arm])
            told = f"{-reward if cost == '−r' else 1 - reward}:{max(chances[arm], 1e-6)} "
            if adf:
                lines[arm + 1] = f"0:{told}{lines[arm + 1]}"
            else:
                lines = f"{arm + 1}:{told}{lines}"
            model.learn(lines)
            total += reward
        model.finish()
        return total / len(x)

    return run


def mabwiser(policy):
    """`setting` is (exploration's value, λ)."""

    def run(x, rewards, setting, seed):
        from mabwiser.mab import MAB, LearningPolicy

        x, arms = with_one(x), list(range(rewards.shape[1]))
        rule = {"LinUCB": LearningPolicy.LinUCB, "LinTS": LearningPolicy.LinTS, "LinGreedy": LearningPolicy.LinGreedy}[policy]
        model = MAB(arms, rule(setting[0], l2_lambda=setting[1]), seed=seed)
        model.fit(np.arange(len(arms)), np.zeros(len(arms)), np.zeros((len(arms), x.shape[1])))
        total = 0
        for row, paid in zip(x, rewards):
            arm = model.predict(row[None])
            model.partial_fit([arm], [float(paid[arm])], row[None])
            total += paid[arm]
        return total / len(x)

    return run


def contextual_bandits(make, streams):
    """Policies of contextualbandits: those that learn row by row, and those that are fitted anew to all rows so far, after each
    tenth more of them."""

    def run(x, rewards, setting, seed):
        arms, total = rewards.shape[1], 0
        model, rng = make(setting, arms, seed), np.random.default_rng(seed)
        chosen, earned, fitted = np.zeros(len(x), int), np.zeros(len(x)), 0
        for place, (row, paid) in enumerate(zip(x, rewards)):
            ready = place > 0 if streams else fitted > 0
            arm = int(np.ravel(model.predict(row[None]))[0]) if ready else int(rng.integers(arms))
            chosen[place], earned[place] = arm, paid[arm]
            total += paid[arm]
            seen = place + 1
            if streams:
                model.partial_fit(row[None], chosen[place:seen], earned[place:seen])
            elif seen - fitted >= max(10, fitted // 10):
                model.fit(x[:seen], chosen[:seen], earned[:seen])
                fitted = seen
        return total / len(x)

    return run


def contextual_bandits_models():
    from contextualbandits import online
    from sklearn.linear_model import LogisticRegression

    def logistic(c):
        return LogisticRegression(C=c, solver="lbfgs", max_iter=200)

    # Seeds must be above 0.
    common = lambda seed: {"random_state": seed + 1, "njobs": 1}
    return {
        "contextualbandits LinUCB": (
            contextual_bandits(lambda s, k, seed: online.LinUCB(k, alpha=s[0], lambda_=s[1], random_state=seed + 1), True),
            [(alpha, penalty) for alpha in (0.1, 0.25, 0.5, 1.0) for penalty in (1.0, 3.0, 10.0)],
        ),
        "contextualbandits LogisticUCB": (
            contextual_bandits(lambda s, k, seed: online.LogisticUCB(k, percentile=s[0], lambda_=s[1], **common(seed)), False),
            [(percentile, 1.0) for percentile in (60, 80)],
        ),
        "contextualbandits AdaptiveGreedy": (
            contextual_bandits(lambda s, k, seed: online.AdaptiveGreedy(logistic(s[1]), k, percentile=s[0], **common(seed)), False),
            [(percentile, 1.0) for percentile in (10, 30)],
        ),
        "contextualbandits EpsilonGreedy": (
            contextual_bandits(lambda s, k, seed: online.EpsilonGreedy(logistic(s[1]), k, explore_prob=s[0], **common(seed)), False),
            [(epsilon, 1.0) for epsilon in (0.02, 0.1)],
        ),
        "contextualbandits SoftmaxExplorer": (
            contextual_bandits(lambda s, k, seed: online.SoftmaxExplorer(logistic(s[1]), k, multiplier=s[0], **common(seed)), False),
            [(multiplier, 1.0) for multiplier in (1.0, 3.0)],
        ),
    }


# Peers that take rewards of 0 and 1 alone.
BINARY = {f"contextualbandits {name}" for name in ("LogisticUCB", "AdaptiveGreedy", "EpsilonGreedy", "SoftmaxExplorer")}


def peers():
    """Name → (run, settings)."""
    found = {}
    if available("vowpalwabbit"):
        for rule, options, values in (
            ("greedy", "--epsilon 0", ("-",)),
            ("ε-greedy", "--epsilon {}", (0.02, 0.05)),
            ("SquareCB", "--squarecb --gamma_scale {}", (10, 100, 1000)),
        ):
            others = [(rate, cost, layout) for rate in (0.5, 2.0) for cost in ("−r", "1−r") for layout in ("plain", "adf")]
            found[f"VW {rule}"] = (vowpal_wabbit(options), [(value, *other) for value in values for other in others])
    if available("mabwiser"):
        for rule, values in (("LinUCB", (0.1, 0.25, 0.5, 1.0)), ("LinTS", (0.05, 0.1, 0.25)), ("LinGreedy", (0.02, 0.1))):
            settings = [(value, penalty) for value in values for penalty in (1.0, 3.0, 10.0)]
            found[f"MABWiser {rule}"] = (mabwiser(rule), settings)
    if available("contextualbandits"):
        found |= contextual_bandits_models()
    return found


def available(module):
    try:
        return __import__(module)
    except ImportError as error:
        print(f"SKIPPED: {module} is not installed here ({error})", file=sys.stderr, flush=True)
        return None


def run_peers(directory, names):
    sets = {name: read(directory, name) for name in dict.fromkeys(SELECTION_SETS + names)}
    for policy, (run, settings) in peers().items():
        begin = time.perf_counter()

        def select(among):
            def mean(setting):
                return float(np.mean([run(x[orders[seed]], rewards[orders[seed]], setting, seed)
                                      for x, rewards, orders in map(sets.get, among) for seed in SELECTION]))

            tried = [(setting, mean(setting)) for setting in settings]
            return max(tried, key=lambda pair: pair[1])[0], tried

        best, tried = select(SELECTION_SETS)
        print(json.dumps({"policy": policy, "peer": True, "setting": best, "tried": tried}), flush=True)
        for name in names:
            x, rewards, orders = sets[name]
            setting = best
            if name == SIMULATED:
                if policy in BINARY:
                    continue
                setting, tried = select([SIMULATED])
                print(json.dumps({"policy": policy, "peer": True, "set": name, "setting": setting, "tried": tried}), flush=True)
            for seed in (seed for seed in EVALUATION if seed in orders):
                value = float(run(x[orders[seed]], rewards[orders[seed]], setting, seed))
                print(json.dumps({"set": name, "policy": policy, "peer": True, "order": seed, "value": value}), flush=True)
        print(f"{policy}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    command, directory, *names = sys.argv[1:]
    if command == "export":
        export(directory)
    else:
        run_peers(directory, names)
