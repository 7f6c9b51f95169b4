#!/usr/bin/env bash
# Answers the partitions IN/* in OUT with GNU parallel: parallel.sh MODEL IN OUT [WORKERS]
#
# Each worker has the whole list: claims distribute the partitions, and a worker loads the model once. A worker that dies
# is started again, and the others answer its partition meanwhile. On several hosts with a shared file system, or with
# s3:// paths, add `--sshlogin host1,host2`.
set -euo pipefail
model=$1 in=$2 out=$3 workers=${4:-2}

# In place of this shell, so that signals to it reach GNU parallel: at SIGTERM it starts no further worker, and waits.
exec parallel --quote --jobs "$workers" --retries 3 --max-args 0 \
    "${DHT:-dht}" predict "$model" --partitions "$in" --output "$out" < <(seq "$workers")
