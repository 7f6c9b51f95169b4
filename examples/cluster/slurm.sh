#!/usr/bin/env bash
# Answers the partitions IN/* in OUT with a Slurm array: sbatch slurm.sh MODEL IN OUT
#
# Each task of the array has the whole list: claims distribute the partitions. The directories are on a file system that
# all nodes share, with locks (NFS; Lustre with the mount option flock). Slurm sends SIGTERM before the time limit or a
# preemption, on which a worker removes its temporary file, and a requeued task goes on with what is left.
#SBATCH --job-name=dht-predict
#SBATCH --array=1-4
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=2G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
model=$1 in=$2 out=$3

export RAYON_NUM_THREADS=${SLURM_CPUS_PER_TASK:-2}
srun "${DHT:-dht}" predict "$model" --partitions "$in" --output "$out"
