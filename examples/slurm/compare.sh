#!/bin/bash
# Four nodes, all their cores, one comparison: sbatch examples/slurm/compare.sh
#SBATCH --job-name=rootbound
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=12:00:00
# Submitted again after the time limit, it goes on where it stopped.
set -euo pipefail
export RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_JOB_NUM_NODES" -- \
  rootbound compare --methods all --suite quick-1 --ray --out "${OUT:-rootbound-compare}"
