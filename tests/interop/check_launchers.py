"""What `resurge cluster kubernetes` prints is what Kubernetes accepts, and what its pods would run is a whole run."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import kubernetes_validate
import yaml

from cluster import NEW, OLD, served
from processes import LONGEST, RESURGE, ROOT, UNTIMED_SETS

# backoffLimitPerIndex and podReplacementPolicy are served without being asked for from 1.29 on.
OLDEST = 29
WORKERS = 3
SECRETS = {"FORUM_SECRET": "demo-secret"}
# Kubernetes would fill the first of these in.
TOLD = "$(RESURGE_RUN) is $$ {{ told }}"
SMOKE = (ROOT / "scenarios/smoke.toml").read_text()
SCENARIO = SMOKE.replace('"demo-secret"', '{ env = "FORUM_SECRET" }')
# Texts that YAML would change where they are not written with care.
ODD = [
    SCENARIO,
    SCENARIO.rstrip("\n"),
    SCENARIO + "\n\n\n",
    "\n  # first\n" + SCENARIO,
    SCENARIO.replace("\n", "\r\n"),
    SCENARIO + "# ---\n# ... \t \n#\t|>-'\"\\x &a *b !c %d @e `f {{ g }} {% h %} ${i} $(j)   \n",
    SCENARIO + "# \u00e4 \u0416 \U0001f600 \u0085 \u2028 \u2029 \ufeff \u00a0 \u200b \u0080 \u009f \ue000\n",
    SCENARIO + "# " + "x" * 5_000,
]


def manifests(scenario, *options, fails=None):
    """The parsed documents for a scenario; or what is said where that exit code is expected."""
    command = [RESURGE, "cluster", "kubernetes", str(scenario), "--workers", str(WORKERS), "--image", "r.example.com/resurge:0.1.0"]
    done = subprocess.run([*command, *options], capture_output=True, check=False, env={"PATH": os.environ["PATH"]}, timeout=20)
    assert done.returncode == (fails or 0), (done.returncode, done.stderr.decode())
    return done.stderr.decode() if fails else list(yaml.safe_load_all(done.stdout.decode()))


def check_manifests():
    """Each is valid by the schemas of Kubernetes, strictly, and the scenario's text comes back as it was."""
    versions = [version for version in kubernetes_validate.utils.all_versions() if int(version.split(".")[1]) >= OLDEST]
    choices = [
        ["--nats-insecure"],
        ["--nats-creds-secret", "nats", "--nats-ca-secret", "nats-tls", "--namespace", "123", "--run", "No_1"],
        ["--nats-insecure", "--reports-claim", "reports", "--authorize", "api.example.com", "--set", "duration=90s"],
        ["--nats-insecure", "--files-secret", "rows", "--workers", "1"],
    ]
    with tempfile.TemporaryDirectory() as home:
        scenario = Path(home) / "o'dd \"name\".toml"
        for number, text in enumerate(ODD):
            with scenario.open("w", newline="") as file:
                file.write(text)
            documents = manifests(scenario, *choices[number % 3])
            assert documents[0]["data"]["scenario.toml"] == text, text
            for document in documents:
                for version in versions:
                    kubernetes_validate.validate(document, version, strict=True)
        (Path(home) / "rows.csv").write_text("client_id,client_secret\na,b\n")
        scenario.write_text(SMOKE.replace('client_id = "demo-client"\nclient_secret = "demo-secret"', 'feeder = "rows.csv"'))
        said = manifests(scenario, "--nats-insecure", fails=2)
        assert "rows.csv" in said, said
        fed = manifests(scenario, *choices[3][:3])
        for document in fed:
            kubernetes_validate.validate(document, versions[-1], strict=True)
        sources = fed[2]["spec"]["template"]["spec"]["volumes"][0]["projected"]["sources"]
        assert sources[1]["secret"] == {"name": "rows", "items": [{"key": "rows.csv", "path": "rows.csv"}]}, sources
        scenario.write_text(SMOKE.replace("demo-secret", "hush"))
        kept = json.dumps(manifests(scenario, "--nats-insecure"))
        assert "hush" not in kept and '"key": "RESURGE_SMOKE_CLIENT_SECRET"' in kept, kept
        assert "--nats-creds-secret" in manifests(scenario, fails=77)
        scenario.write_text("duration = 3")
        manifests(scenario, "--nats-insecure", fails=104)
    print(f"        {len(ODD)} texts came back, by the schemas of {versions[0]} to {versions[-1]}")


class Pods:
    """The pods of a run, as processes: what each is given stands in the manifests, and nothing else."""

    def __init__(self, documents, home):
        config, *jobs = documents
        self.home = Path(home)
        self.files = self.home / "scenario"
        self.files.mkdir()
        for name, text in config["data"].items():
            (self.files / name).write_text(text, newline="")
        self.jobs = {job["metadata"]["name"].rsplit("-", 1)[1]: job["spec"] for job in jobs}

    def start(self, stack, role, index=None):
        """Starts a pod; its standard error goes to a file."""
        spec = self.jobs[role]["template"]["spec"]
        (container,) = spec["containers"]
        own = self.home / f"{role}-{index or 0}"
        own.mkdir()
        mounts = {mount["mountPath"]: str(own) for mount in container["volumeMounts"]}
        mounts["/scenario"] = str(self.files)
        env = {variable["name"]: self.value(variable) for variable in container.get("env", [])}
        if index is not None:
            env["JOB_COMPLETION_INDEX"] = str(index)
        assert container["command"] == ["resurge"]
        command = [RESURGE, *(mapped(filled(arg), mounts) for arg in container["args"])]
        said = stack.enter_context((own / "said").open("w"))
        process = subprocess.Popen(command, env=env, cwd=mapped(container["workingDir"], mounts), stdout=said, stderr=said)
        stack.callback(end, process)
        process.said = own / "said"
        process.grace = spec["terminationGracePeriodSeconds"]
        return process

    @staticmethod
    def value(variable):
        """What a pod's variable holds."""
        source = variable.get("valueFrom")
        return SECRETS[source["secretKeyRef"]["key"]] if source else filled(variable["value"])

    def start_all(self, stack):
        """The coordinator, and the workers."""
        return self.start(stack, "coordinator"), [self.start(stack, "worker", index) for index in range(WORKERS)]


def filled(text):
    """An argument or a value as Kubernetes makes it, where no variable is meant."""
    assert "$(" not in text.replace("$$", ""), text
    return text.replace("$$", "$")


def mapped(text, mounts):
    """An argument whose path begins with a mount."""
    option, equals, path = text.rpartition("=")
    for mount, folder in mounts.items():
        if path == mount or path.startswith(mount + "/"):
            return f"{option}{equals}{folder}{path.removeprefix(mount)}"
    return text


def end(process):
    """Ends what is still there."""
    if process.poll() is None:
        process.kill()
    process.wait(10)


@contextlib.contextmanager
def pods(server, duration):
    """The pods of a run of so long, started."""
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        address = stack.enter_context(served(server)).url()
        scenario = Path(home) / "smoke.toml"
        scenario.write_text(SCENARIO)
        sets = [*UNTIMED_SETS, "--set", f"duration={duration}", "--set", f'description="{TOLD}"']
        made = Pods(manifests(scenario, "--nats", address, "--run", "Nightly_7", *sets), home)
        coordinator, workers = made.start_all(stack)
        yield coordinator, workers, Path(home) / "coordinator-0/Nightly_7"


def ended(process):
    """Its exit code, once it has ended within its grace; and what it said."""
    code = process.wait(min(process.grace, LONGEST))
    return code, process.said.read_text()


def check_pods():
    """With the command and environment of the manifests alone, all shares make a whole run."""
    for server in (OLD, NEW):
        assert server, "there is no nats-server"
        with pods(server, "2s") as (coordinator, workers, folder):
            code, said = ended(coordinator)
            assert code == 0 and f"in {WORKERS} shards" in said and TOLD in said, (code, said)
            assert (folder / "report.html").exists()
            for worker in workers:
                code, said = ended(worker)
                assert code == 0 and "the coordinator has the journal" in said, (code, said)
    print(f"        {WORKERS} of {WORKERS} shares with each of two NATS servers")


def started_load(coordinator):
    """Waits until the coordinator tells of clients."""
    ends = time.monotonic() + LONGEST
    while "connected" not in coordinator.said.read_text():
        assert coordinator.poll() is None and time.monotonic() < ends, coordinator.said.read_text()
        time.sleep(0.1)


def check_pods_that_end():
    """A worker that is told to end seals its journal and sends it; a coordinator that is ends all, and reports."""
    with pods(NEW, "8s") as (coordinator, workers, _):
        started_load(coordinator)
        workers[1].send_signal(signal.SIGTERM)
        code, said = ended(workers[1])
        assert code == 0 and "the coordinator has the journal" in said, (code, said)
        assert coordinator.poll() is None, "the others go on"
        code, said = ended(coordinator)
        assert code == 111 and "stopped alone" in said, (code, said)
    with pods(NEW, "60s") as (coordinator, workers, folder):
        started_load(coordinator)
        began = time.monotonic()
        coordinator.send_signal(signal.SIGTERM)
        code, said = ended(coordinator)
        assert code == 105 and "drain" in said and (folder / "report.html").exists(), (code, said)
        assert [ended(worker)[0] for worker in workers] == [0] * WORKERS
        print(f"        all had drained after {time.monotonic() - began:.1f} s")


CHECKS = [check_manifests, check_pods, check_pods_that_end]
