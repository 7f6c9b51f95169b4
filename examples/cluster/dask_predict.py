#!/usr/bin/env python3
"""Answers the partitions IN/* in OUT with Dask: dask_predict.py SCHEDULER MODEL IN OUT

A task is a process for one partition. A task of a worker that died is run again; claims keep two tasks from answering
one partition at the same time, and a partition that was finished is skipped.
"""

import os
import subprocess
import sys
from pathlib import Path

from dask.distributed import Client


def answer(partition, model, out):
    command = [os.environ.get("DHT", "dht"), "predict", model, "--partitions", partition, "--output", out]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(scheduler, model, inputs, out):
    partitions = sorted(str(path) for path in Path(inputs).iterdir())
    with Client(scheduler) as client:
        tasks = client.map(answer, partitions, model=model, out=out, retries=3, pure=False)
        for summary in client.gather(tasks):
            print(summary, end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
