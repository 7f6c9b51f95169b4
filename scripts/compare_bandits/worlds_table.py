"""Tables of the noisy worlds: shares of the possible gain, segments that are stuck, and regret, with intervals over seeds."""

import random
import statistics

OURS, RESAMPLES = "recommended", 2000
NAMES = {
    "ucb:0.25": "UCB, α ¼",
    "ucb:0.5": "UCB, α ½",
    "ucb:1": "UCB, α 1",
    "thompson:0.5": "Thompson, α ½",
    "square-cb:100": "SquareCB, γ 100",
}


def runs(lines):
    """Policy → world → seed → run, in the order of the lines."""
    found = {}
    for line in lines:
        found.setdefault(line["policy"], {}).setdefault(line["world"], {})[line["seed"]] = line
    return found


def share(of_seed, seeds):
    earned, best, uniform = (sum(of_seed[seed][name] for seed in seeds) for name in ("earned", "best", "uniform"))
    return (earned - uniform) / (best - uniform)


def difference(ours, peer, worlds):
    """Mean over worlds of the difference of shares, and its 95 % interval by a paired bootstrap over seeds."""

    def mean(sample):
        return statistics.fmean(share(ours[world], sample[world]) - share(peer[world], sample[world]) for world in worlds)

    rng, seeds = random.Random(0), {world: sorted(set(ours[world]) & set(peer[world])) for world in worlds}
    drawn = sorted(mean({world: rng.choices(of, k=len(of)) for world, of in seeds.items()}) for _ in range(RESAMPLES))
    return mean(seeds), drawn[int(0.025 * RESAMPLES)], drawn[int(0.975 * RESAMPLES)]


def summary(lines):
    """Figures of each policy, and the difference of ours from each peer over the worlds that the peer ran."""
    found, peers = runs(lines), {line["policy"] for line in lines if line["peer"]}
    rows = []
    for policy, worlds in found.items():
        every = [run for of_seed in worlds.values() for run in of_seed.values()]
        segments = sum(run["segments"] for run in every)
        rows.append({
            "policy": policy,
            "peer": policy in peers,
            "worlds": len(worlds),
            "share": statistics.fmean(share(of_seed, of_seed) for of_seed in worlds.values()),
            "stuck": sum(run["stuck"] for run in every) / segments,
            "regret": statistics.fmean(run["best"] - run["earned"] for run in every),
            "difference": None if policy == OURS else difference(found[OURS], worlds, list(worlds)),
        })
    return rows


def best_peer(rows):
    """Peer with the smallest lead of ours, over the worlds that it ran."""
    return min((row for row in rows if row["peer"]), key=lambda row: row["difference"][0])["policy"]


def plain(value):
    return f"{value:.2f}".replace("0.", ".", 1)


def table(lines):
    found, rows = runs(lines), summary(lines)
    peer, policies = best_peer(rows), list(found)
    label = lambda policy: NAMES.get(policy, policy)
    out = ["| world | " + " | ".join(map(label, policies)) + f" | recommended − {peer} |", "|---" * (len(policies) + 2) + "|"]
    for world in found[OURS]:
        cells = [plain(share(found[policy][world], found[policy][world])) if world in found[policy] else "–" for policy in policies]
        apart = "–"
        if world in found[peer]:
            mean, low, high = difference(found[OURS], found[peer], [world])
            apart = f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"
        out.append(f"| {world} | " + " | ".join(cells) + f" | {apart} |")
    out += ["", "| policy | worlds | mean share | stuck | mean regret | recommended − it | 95 % interval |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        apart = ("–", "–")
        if row["difference"]:
            mean, low, high = row["difference"]
            apart = (f"{mean:+.3f}", f"{low:+.3f} to {high:+.3f}")
        cells = [label(row["policy"]), row["worlds"], f"{row['share']:.3f}".replace("0.", ".", 1), f"{100 * row['stuck']:.1f} %", f"{row['regret']:.0f}", *apart]
        out.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(out)
