#!/usr/bin/env bash
# A run on Slurm: Ray on each node of the job, then tagscribe run, on the first. See docs/clusters.md.
#   sbatch ray_configs/slurm.sh run.yaml
#SBATCH --job-name=tagscribe
#SBATCH --nodes=3
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-task=1
#SBATCH --time=24:00:00
#SBATCH --requeue
# Notice of 120 s before the end: the nodes are stopped in order, a requeued job goes on from there.
#SBATCH --signal=B:TERM@120
set -euo pipefail

run_yaml=${1:?the YAML of the run, with cluster: auto}
cpus=${SLURM_CPUS_PER_TASK:-16}
gpus=${SLURM_GPUS_PER_TASK:-1}
# All nodes are alike here, so each is of every type that the pools of run.yaml ask for.
resources='{"decoder": 1, "captioner": 1, "scorer": 1}'
port=$((20000 + SLURM_JOB_ID % 20000))
folder=${TAGSCRIBE_SHARED:-$HOME}/.tagscribe-$SLURM_JOB_ID   # seen by every node, read by its owner

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
step=(srun --nodes=1 --ntasks=1 --overlap)
head_ip=$("${step[@]}" --nodelist="${nodes[0]}" hostname --ip-address | awk '{print $1}')

# Other users share the machines: without the token of this job nobody gets in.
(umask 077 && mkdir -p "$folder" && python -c 'import secrets; print(secrets.token_hex(32))' >"$folder/token")
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$folder/token
# All nodes end together: there is none to which another could hand over, so none waits for that.
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0

steps=()
finish() {
    trap - EXIT TERM INT
    kill "${steps[@]}" 2>/dev/null || true
    wait || true
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

start() { # NODE OPTIONS...: Ray in the foreground of a job step, so that the step's end is Ray's end
    "${step[@]}" --nodelist="$1" ray start --block --disable-usage-stats \
        --num-cpus="$cpus" --num-gpus="$gpus" --resources="$resources" "${@:2}" &
    steps+=($!)
}
healthy() {
    "${step[@]}" --nodelist="${nodes[0]}" ray health-check --address="$head_ip:$port" >/dev/null 2>&1
}
start "${nodes[0]}" --head --node-ip-address="$head_ip" --port="$port" \
    --dashboard-host=127.0.0.1 --temp-dir="/tmp/ray-$SLURM_JOB_ID"
for attempt in {1..60}; do
    healthy && break
    [ "$attempt" -lt 60 ] || { echo "Ray does not answer at $head_ip:$port" >&2; exit 1; }
    sleep 1
done
# A node that comes late or never does not hold the run up: the pools are ranges.
for node in "${nodes[@]:1}"; do
    start "$node" --address="$head_ip:$port"
done

"${step[@]}" --nodelist="${nodes[0]}" env RAY_ADDRESS="$head_ip:$port" \
    python -m curation.cli.main run "$run_yaml" &
steps+=($!)
wait $!
