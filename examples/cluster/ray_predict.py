#!/usr/bin/env python3
"""Answers the partitions IN/* in OUT with Ray: ray_predict.py ADDRESS MODEL IN OUT

A task is a process for one partition. A task of a worker that died is run again; claims keep two tasks from answering
one partition at the same time, and a partition that was finished is skipped.
"""

import os
import subprocess
import sys
from pathlib import Path

import ray


@ray.remote(num_cpus=1, max_retries=3, retry_exceptions=True)
def answer(partition, model, out, dht):
    command = [dht, "predict", model, "--partitions", partition, "--output", out]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(address, model, inputs, out):
    ray.init(address)
    partitions = sorted(str(path) for path in Path(inputs).iterdir())
    tasks = [answer.remote(partition, model, out, os.environ.get("DHT", "dht")) for partition in partitions]
    for summary in ray.get(tasks):
        print(summary, end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
