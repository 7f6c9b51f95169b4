"""Peers on the noisy worlds that crates/dht-bandits/examples/noisy_worlds.rs exports. One JSON line a run, on stdout.

usage: worlds.py DIRECTORY PEER[,PEER]|all NAME ...

Names are those of the worlds, in the order of the files. Every peer gets the rounds of ours: contexts, expected rewards and the draws
behind the rewards. MABWiser and contextualbandits run up to 10,000 rounds, and three of the ten seeds from 10,000 rounds on; Vowpal
Wabbit runs three seeds of longer worlds. None chooses slates.
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
SEEDS = range(10)
LONGEST = 10_000


class World:
    def __init__(self, directory, place, seed):
        values = np.fromfile(os.path.join(directory, f"{place}-{seed}.bin"), dtype="<f8")
        d, arms, width, rounds, delay, positions = (int(value) for value in values[:6])
        self.noise, self.arms, self.rounds, self.delay, self.positions = values[6], arms, rounds, delay, positions
        at = 7 + arms * width
        self.features = values[7:at].reshape(arms, width)
        rows = values[at:].reshape(rounds, d + arms + 2)
        self.contexts, self.expected = rows[:, :d], rows[:, d : d + arms]
        draws = rows[:, d + arms :]
        self.rewards = self.expected + self.noise * draws[:, 1:] if self.noise > 0 else (draws[:, :1] < self.expected) * 1.0
        self.repeats = set(np.unique(self.contexts)) <= {0.0, 1.0}

    def outcome(self, chosen):
        arms = np.arange(self.rounds)
        found = {"earned": self.expected[arms, chosen].sum(), "best": self.expected.max(1).sum(), "uniform": self.expected.mean(1).sum()}
        stuck, segments = 0, 0
        if self.repeats:
            segment, late = self.contexts.argmax(1), arms >= self.rounds - self.rounds // 5
            segments = self.contexts.shape[1]
            for place in range(segments):
                rows = np.flatnonzero(segment == place)
                if len(rows):
                    rates = self.expected[rows[0]]
                    ends = np.bincount(chosen[rows[late[rows]]], minlength=self.arms)
                    # The last of equal counts and rates, as in the worlds' own program.
                    best, most = (self.arms - 1 - int(np.argmax(values[::-1])) for values in (rates, ends))
                    stuck += int(ends[best] == 0 and rates[most] < 0.8 * rates[best])
        return {**{name: float(value) for name, value in found.items()}, "stuck": stuck, "segments": segments}

    def run(self, choose, learn):
        """Plays all rounds; a reward is learned `delay` rounds after its choice."""
        chosen, kept = np.zeros(self.rounds, int), []
        for row in range(self.rounds):
            arm, memory = choose(row)
            chosen[row] = arm
            kept.append(memory)
            if row >= self.delay:
                past = row - self.delay
                learn(past, chosen[past], float(self.rewards[past, chosen[past]]), kept[past])
                kept[past] = None
        return self.outcome(chosen)


def vowpal_wabbit(options, layout):
    """Costs are −reward, or 1 − reward for "1−r" layouts, which start with an optimistic model."""

    def run(world, seed):
        import vowpalwabbit

        items, rng = world.features.shape[1] > 0, np.random.default_rng(seed)
        base = "--cb_explore_adf -q UA" if items or "adf" in layout else f"--cb_explore {world.arms}"
        model = vowpalwabbit.Workspace(f"{base} {options} --random_seed {seed + 1} --quiet")
        joined = base.startswith("--cb_explore_adf")
        show = lambda letter, values: " ".join(f"{letter}{place}:{value:.6g}" for place, value in enumerate(values) if value)
        actions = [f"|A a{arm} {show('v', world.features[arm])}" if not items else f"|A {show('v', world.features[arm])}" for arm in range(world.arms)]
        contexts = {}

        def text(row):
            key = world.contexts[row].tobytes()
            if key not in contexts or not world.repeats:
                contexts[key] = show("f", world.contexts[row])
            return contexts[key]

        def choose(row):
            lines = [f"shared |U {text(row)}", *actions] if joined else f"| {text(row)}"
            chances = np.maximum(np.array(model.predict(lines)), 0)
            arm = int(np.searchsorted(np.cumsum(chances), rng.random() * chances.sum()))
            arm = min(arm, world.arms - 1)
            return arm, (lines, max(chances[arm], 1e-6))

        def learn(row, arm, reward, memory):
            lines, chance = memory
            label = f"{1 - reward if '1−r' in layout else -reward}:{chance} "
            if joined:
                lines = list(lines)
                lines[arm + 1] = f"0:{label}{lines[arm + 1]}"
            else:
                lines = f"{arm + 1}:{label}{lines}"
            model.learn(lines)

        found = world.run(choose, learn)
        model.finish()
        return found

    return run


def rows_of(world, row):
    return np.append(world.contexts[row], 1.0)


def mabwiser(alpha):
    def run(world, seed):
        from mabwiser.mab import MAB, LearningPolicy

        d, arms = world.contexts.shape[1] + 1, list(range(world.arms))
        model = MAB(arms, LearningPolicy.LinUCB(alpha=alpha, l2_lambda=1.0), seed=seed)
        model.fit(np.arange(world.arms), np.zeros(world.arms), np.zeros((world.arms, d)))
        choose = lambda row: (model.predict(rows_of(world, row)[None]), None)
        learn = lambda row, arm, reward, _: model.partial_fit([arm], [reward], rows_of(world, row)[None])
        return world.run(choose, learn)

    return run


def contextual_bandits(alpha):
    def run(world, seed):
        from contextualbandits import online

        model, rng, started = online.LinUCB(world.arms, alpha=alpha, random_state=seed + 1), np.random.default_rng(seed), []

        def choose(row):
            return int(np.ravel(model.predict(world.contexts[row : row + 1]))[0]) if started else int(rng.integers(world.arms)), None

        def learn(row, arm, reward, _):
            model.partial_fit(world.contexts[row : row + 1], np.array([arm]), np.array([reward]))
            started.append(row) if not started else None

        return world.run(choose, learn)

    return run


PEERS = {
    "MABWiser LinUCB": (mabwiser(1.0), False, LONGEST),
    "contextualbandits LinUCB": (contextual_bandits(1.0), False, LONGEST),
    "VW SquareCB": (vowpal_wabbit("--squarecb", "plain"), True, None),
    "VW SquareCB, products": (vowpal_wabbit("--squarecb", "adf"), True, LONGEST),
}


def main(directory, wanted, names):
    for policy, (run, takes_items, longest) in PEERS.items():
        if wanted != "all" and policy not in wanted.split(","):
            continue
        begin = time.process_time()
        for place, name in enumerate(names):
            world = World(directory, place, 0)
            if world.positions > 1 or (world.features.size and not takes_items) or (longest and world.rounds > longest):
                continue
            every = world.rounds < LONGEST or (world.rounds == LONGEST and policy.startswith("VW"))
            for seed in SEEDS if every else SEEDS[:3]:
                found = run(World(directory, place, seed), seed)
                print(json.dumps({"world": name, "policy": policy, "peer": True, "seed": seed, **found}), flush=True)
        print(f"{policy}: {time.process_time() - begin:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
