#!/usr/bin/env python3
"""Writes crates/dht-bandits/tests/judging/obp.json: a log, and what the Open Bandit Pipeline estimates from it.

    pip install --only-binary=:all: obp
    scripts/golden_off_policy.py
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from obp.ope import (
    DirectMethod,
    DoublyRobust,
    DoublyRobustWithShrinkage,
    InverseProbabilityWeighting,
    SelfNormalizedDoublyRobust,
    SelfNormalizedInverseProbabilityWeighting,
    SwitchDoublyRobust,
)

ROUNDS, ARMS = 60, 4
PATH = Path(__file__).resolve().parent.parent / "crates" / "dht-bandits" / "tests" / "judging" / "obp.json"


def softmax(scores):
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def main():
    rng = np.random.default_rng(1)
    logging, target = softmax(rng.normal(size=(ROUNDS, ARMS))), softmax(1.5 * rng.normal(size=(ROUNDS, ARMS)))
    model = rng.uniform(size=(ROUNDS, ARMS))
    arms = np.array([rng.choice(ARMS, p=row) for row in logging])
    rewards = rng.uniform(size=ROUNDS)
    at = np.arange(ROUNDS)
    propensities = logging[at, arms]
    estimators = {
        "DM": DirectMethod(),
        "IPS": InverseProbabilityWeighting(),
        "SNIPS": SelfNormalizedInverseProbabilityWeighting(),
        "DR": DoublyRobust(),
        "SNDR": SelfNormalizedDoublyRobust(),
        "switch-DR(1)": SwitchDoublyRobust(tau=1.0),
        "DRos(2)": DoublyRobustWithShrinkage(lambda_=2.0),
    }
    values = {
        name: float(
            estimator.estimate_policy_value(
                reward=rewards,
                action=arms,
                pscore=propensities,
                action_dist=target[:, :, None],
                position=np.zeros(ROUNDS, dtype=int),
                estimated_rewards_by_reg_model=model[:, :, None],
            )
        )
        for name, estimator in estimators.items()
    }
    rounds = [
        {
            "reward": float(rewards[i]),
            "propensity": float(propensities[i]),
            "target": float(target[i, arms[i]]),
            "prediction": {"logged": float(model[i, arms[i]]), "expected": float(target[i] @ model[i])},
        }
        for i in at
    ]
    PATH.write_text(json.dumps({"obp": version("obp"), "values": values, "rounds": rounds}, indent=1) + "\n")


main()
