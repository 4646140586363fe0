#!/usr/bin/env bash
# A node is about to be taken away: it gets no more shards, and SECONDS to finish those in hand.
#   notice.sh [SECONDS]
# Returns as soon as no actor of the node works, or after SECONDS. See docs/clusters.md.
set -euo pipefail

seconds=${1:-50}
# By /proc alone: small images lack pgrep.
found=$(grep --no-messages --files-with-matches --line-regexp raylet /proc/[0-9]*/comm | head -1 | cut -d/ -f3 || true)
raylet=${RAYLET_PID:-$found}
node=$(tr '\0' '\n' <"/proc/$raylet/cmdline" | sed -n 's/^--node_id=//p')

ray drain-node --node-id "$node" --reason DRAIN_NODE_REASON_PREEMPTION \
    --reason-message "notice of $seconds s" --deadline-remaining-seconds "$seconds"

# Ray names a process by what it does: ray::MapWorker(Map(FusedWorker)).submit while it has a shard.
working() {
    local status
    for status in $(grep --no-messages --files-with-matches --line-regexp "PPid:[[:space:]]*$raylet" /proc/[0-9]*/status); do
        tr '\0' ' ' 2>/dev/null <"${status%/status}/cmdline" | grep --quiet '^ray::MapWorker.*)\.' && return
    done
    return 1
}
idle=0
while ((SECONDS < seconds && idle < 3)); do
    sleep 1
    working && idle=0 || idle=$((idle + 1)) # between two shards that it had already
done
