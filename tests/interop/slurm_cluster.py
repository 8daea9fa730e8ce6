"""A Slurm cluster of three nodes on this host, in a folder of its own: munged, slurmctld and three slurmd, ended by their own handles."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from processes import free_port

NODES = 3
PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmstepd", "sbatch", "srun", "scancel", "squeue", "sinfo")
# Where Debian has daemons.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

CONFIG = """
ClusterName=interop
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket
CredType=cred/munge
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool-%n
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd-%n.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait={kill_wait}
InactiveLimit=0
MailProg=/bin/true
{nodes}
PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs():
    """The programs of Slurm that this machine does not have."""
    return [name for name in PROGRAMS if not shutil.which(name, path=PATH)]


class Cluster:
    """A cluster that runs."""

    def __init__(self, home):
        self.home = home
        self.env = {**os.environ, "PATH": PATH, "SLURM_CONF": str(home / "slurm.conf")}
        # A job of Slurm may run these checks: what is its own is not ours.
        for name in [name for name in self.env if name.startswith("SLURM_") and name != "SLURM_CONF"]:
            del self.env[name]

    def run(self, *command, **options):
        """A command of Slurm's; answers with what it printed."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=20, check=False, **options)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    def submit(self, script, *options, cwd, env=None):
        """Submits a batch script; answers with the job's number."""
        own = {**self.env, **(env or {})}
        done = subprocess.run(
            ["sbatch", "--parsable", *options, str(script)], env=own, cwd=cwd, capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout.strip()

    def state(self, job):
        """Its state, the exit codes of its tasks with it: `COMPLETED 0:0`."""
        lines = self.run("scontrol", "show", "job", job).splitlines()
        words = [word for line in lines for word in line.split()]
        told = [word.partition("=")[2] for word in words if word.startswith(("JobState=", "ExitCode="))]
        return [" ".join(pair) for pair in zip(told[::2], told[1::2], strict=True)]

    def until_ended(self, job, longest=40):
        """Waits for its end; answers with its state."""
        ends = time.monotonic() + longest
        while time.monotonic() < ends:
            states = self.state(job)
            if not any(state.startswith(("PENDING", "RUNNING", "COMPLETING", "CONFIGURING")) for state in states):
                return states
            time.sleep(0.2)
        raise AssertionError(f"job {job} is still {self.state(job)}")


@contextlib.contextmanager
def cluster(home, kill_wait=30):
    """A cluster of three nodes while the block runs."""
    home = Path(home)
    made = Cluster(home)
    (home / "state").mkdir()
    key = home / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    host = socket.gethostname().split(".")[0]
    names = [f"n{number}" for number in range(1, NODES + 1)]
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs=4 RealMemory=4000" for name in names
    )
    config = CONFIG.format(host=host, port=free_port(), home=home, nodes=nodes, kill_wait=kill_wait)
    (home / "slurm.conf").write_text(config)
    munged = ["munged", "--foreground", "--force", f"--socket={home}/munge.socket", f"--key-file={key}"]
    munged += [f"--log-file={home}/munged.log", f"--pid-file={home}/munged.pid", f"--seed-file={home}/munged.seed"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(daemon([*munged, "--num-threads=2"], made.env, home))
        wait_for(lambda: (home / "munge.socket").exists(), "munged")
        stack.enter_context(daemon(["slurmctld", "-D", "-i"], made.env, home))
        for name in names:
            (home / f"spool-{name}").mkdir()
            stack.enter_context(daemon(["slurmd", "-D", "-N", name], made.env, home))
        wait_for(lambda: made.run("sinfo", "-h", "-o", "%t").split() == ["idle"], "the nodes")
        yield made
        made.run("scancel", "--full", "--signal=KILL", "--user=root")


@contextlib.contextmanager
def daemon(command, env, home):
    """A daemon that runs while the block does."""
    program = shutil.which(command[0], path=PATH)
    with (home / f"{command[0]}.out").open("a") as out:
        process = subprocess.Popen([program, *command[1:]], env=env, stdout=out, stderr=out, cwd=home)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def wait_for(is_there, what, longest=15):
    """Waits for something of the cluster."""
    ends = time.monotonic() + longest
    while time.monotonic() < ends:
        with contextlib.suppress(AssertionError):
            if is_there():
                return
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come up")
