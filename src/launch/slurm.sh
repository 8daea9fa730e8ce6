#!/bin/bash
# A run of resurge on {{ workers }} workers. Nothing was submitted: sbatch does that.
#
#   scenario  {{ path }}, which the nodes must see at that path
#   resurge   {{ version }} at {{ program }} on each node, built with the feature `cluster`
#
#   sbatch FILE
#       the coordinator runs in the batch step, the workers by srun
#   sbatch --array=0-{{ last }} --ntasks=1 FILE
#       the same as an array job: each task is a worker, task 0 the coordinator as well
#   scancel --batch --signal=TERM JOB
#       ends the run early: the clients drain (for {{ drain }} at most), and the run is reported; of an array job name JOB_0
#   scancel JOB
#       the same, but what takes longer than the cluster's KillWait (30 s mostly) is cut off
#
# An array job needs all of its tasks at once: no limit as in --array=0-7%2. The job's exit code is the run's.
{% if is_copy %}
# Secrets stand in the scenario's file. They do not travel: the workers read them from variables.
{% endif %}
#SBATCH --job-name={{ job }}
#SBATCH --ntasks={{ workers }}
#SBATCH --cpus-per-task={{ processors }}
#SBATCH --mem-per-cpu={{ memory_mib }}M
#SBATCH --time={{ time }}
{% if partitions %}
#SBATCH --partition={{ partitions }}
{% endif %}
# Before the time is over, the coordinator is told to drain.
#SBATCH --signal=B:TERM@{{ end_s }}
# A share is run once, and where a node is lost, the others go on.
#SBATCH --no-requeue
#SBATCH --no-kill

set -u
fail() {
  echo "error: $1" >&2
  exit "$2"
}

{% if nats %}
export RESURGE_CLUSTER={{ nats }}
{% else %}
[ -n "${RESURGE_CLUSTER:-}" ] || fail 'RESURGE_CLUSTER names no NATS server: export it, as nats://HOST:4222, before sbatch' 2
export RESURGE_CLUSTER
{% endif %}
export RESURGE_RUN={{ run }}
{% if variables %}
for name in{% for name in variables %} {{ name }}{% endfor %}; do
  [ -n "${!name:-}" ] || fail "the environment variable $name, which the scenario names, is not set, or empty: export it before sbatch" 104
done
{% endif %}

# Each worker holds up to {{ descriptors }} descriptors; srun hands the limit on.
needed={{ descriptors }}
most=$(ulimit -Hn)
if [ "$most" != unlimited ] && [ "$most" -lt "$needed" ]; then
  fail "a worker needs $needed file descriptors, and $(hostname) allows $most: name more workers, or raise the hard limit" 110
fi
ulimit -Sn "$most"

resurge={{ program }}
reports=${SLURM_SUBMIT_DIR:-$PWD}/reports
# Files that the scenario names are looked for from its folder on.
cd {{ folder }} || fail 'the scenario is not here' 104

worker() {
  exec "$resurge" worker --index "$1" --out "$reports/$RESURGE_RUN-share-$1"{% for option in worker_options %} {{ option }}{% endfor %}

}
if [ "${SLURM_ARRAY_TASK_ID:-0}" != 0 ]; then
  worker "$((SLURM_ARRAY_TASK_ID + 1))"
fi
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  (worker 1) </dev/null &
else
  export -f worker
  export resurge reports
  # shellcheck disable=SC2016
  srun --ntasks={{ workers }} --cpus-per-task={{ processors }} --wait=0 --kill-on-bad-exit=0 --no-kill \
    bash -c 'worker "$((SLURM_PROCID + 1))"' </dev/null &
fi
# In place of the shell: what signals the batch step signals the coordinator, once, and its exit code is the job's.
exec "$resurge" run {{ file }} --cluster "$RESURGE_CLUSTER" --run "$RESURGE_RUN" --out "$reports/$RESURGE_RUN"{% for option in coordinator_options %} {{ option }}{% endfor %}
