#!/usr/bin/env python3
"""Answers JSON lines with Spark: spark_predict.py MASTER MODEL IN OUT

`mapInArrow` runs one `dht` process for each partition of the data: rows go to its standard input, and one line comes
back for each line, in order. Spark repeats the tasks of an executor that died.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pyarrow
from pyspark.sql import SparkSession

ROWS = 1000  # rows in a batch of answers


def answers(model, dht):
    def of_partition(batches):
        command = [dht, "predict", model, "--input-format", "jsonl", "-"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")

        def ask():
            with process.stdin as rows:
                for batch in batches:
                    rows.writelines(line + "\n" for line in batch.column("value").to_pylist())

        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask)
            while lines := list(islice(process.stdout, ROWS)):
                yield pyarrow.RecordBatch.from_pydict({"value": [line.rstrip("\n") for line in lines]})
            if process.wait() != 0:
                raise RuntimeError(f"dht predict ended with {process.returncode}")
            asked.result()  # raises what the thread raised: rows could be missing

    return of_partition


def main(master, model, inputs, out):
    spark = SparkSession.builder.master(master).appName("dht-predict").getOrCreate()
    rows = spark.read.text(inputs)
    rows.mapInArrow(answers(model, os.environ.get("DHT", "dht")), "value string").write.text(out)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
