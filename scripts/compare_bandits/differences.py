"""The table of the data sets, and the difference between ours and the best peer with its interval."""

import random
import statistics

SELECTION_SETS, OTHER_SETS = ["iris", "cancer"], ["wine", "digits"]
NAMES = {"iris": "iris", "cancer": "breast cancer", "wine": "wine", "digits": "digits", "noisy": "noisy, real", "stackoverflow": "StackOverflow"}
OURS = "recommended"
RESAMPLES = 4000


def values(lines):
    """Set → policy → values by order."""
    found = {}
    for line in lines:
        if "value" in line:
            found.setdefault(line["set"], {}).setdefault(line["policy"], {})[line["order"]] = line["value"]
    return found


def difference(found, sets, peers, ours=OURS, seed=0):
    """The mean over sets of ours − the best peer of each set, and its 95 % interval by a paired bootstrap over the orders.

    The best peer is the best of each resample: which one it is, is not held fixed, which favours the peers.
    """

    def mean_difference(sample):
        gaps = []
        for name in sets:
            runs, means = found[name], lambda policy: statistics.fmean(found[name][policy][order] for order in sample[name])
            gaps.append(means(ours) - max(means(peer) for peer in peers if peer in runs))
        return statistics.fmean(gaps)

    rng, orders = random.Random(seed), {name: sorted(found[name][ours]) for name in sets}
    resamples = sorted(mean_difference({name: rng.choices(orders[name], k=len(orders[name])) for name in sets}) for _ in range(RESAMPLES))
    low, high = (resamples[int(share * RESAMPLES)] for share in (0.025, 0.975))
    return {"sets": sets, "ours": ours, "mean": mean_difference(orders), "low": low, "high": high}


def differences(lines):
    found = values(lines)
    peers = list(dict.fromkeys(line["policy"] for line in lines if line["peer"]))
    groups = [[name] for name in NAMES if name in found]
    groups += [sets for sets in (SELECTION_SETS, OTHER_SETS, SELECTION_SETS + OTHER_SETS) if all(name in found for name in sets)]
    return [difference(found, sets, peers) for sets in groups]


def shown(value):
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"


def table(lines, differences):
    found = values(lines)
    sets = [name for name in NAMES if name in found]
    settings = {}
    for line in lines:
        if "setting" in line and "set" not in line:
            setting = line["setting"]
            settings[line["policy"]] = setting if isinstance(setting, str) else ", ".join(map(str, setting))
    rows = ["| policy | setting | " + " | ".join(NAMES[name] for name in sets) + " |", "|---" * (len(sets) + 2) + "|"]
    for policy, setting in settings.items():
        means = [statistics.fmean(found[name][policy].values()) if policy in found[name] else None for name in sets]
        cells = ["–" if mean is None else shown(mean) for mean in means]
        rows.append(f"| {policy} | {setting} | " + " | ".join(cells) + " |")
    rows += ["", "| recommended − best peer | mean | 95 % interval |", "|---|---|---|"]
    for entry in differences:
        name = " and ".join([", ".join(NAMES[name] for name in entry["sets"][:-1]), NAMES[entry["sets"][-1]]]) if len(entry["sets"]) > 1 else NAMES[entry["sets"][0]]
        rows.append(f"| {name} | {entry['mean']:+.3f} | {entry['low']:+.3f} to {entry['high']:+.3f} |")
    return "\n".join(rows)
