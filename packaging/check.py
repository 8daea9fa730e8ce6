"""Whether the packages are what they say: check.py PROGRAM FOLDER [CHECK…], of which packaging/build has made FOLDER from PROGRAM.

Needs requirements.txt, and root for what runs in a root of its own. Prints a line for each check and ends with 1 if one has failed.
"""

import gzip
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from dependencies import ROOT, crates

PROGRAM, PACKAGES = (Path(argument).resolve() for argument in sys.argv[1:3])
SCRIPT = ROOT / "packaging/ci/resurge-ci"
CHROOT = shutil.which("chroot") or "/usr/sbin/chroot"
LONGEST_S = 120
# Of the image as it is pulled: its layer, compressed.
LIMIT_MIB = 20
IMAGE_USER = 65532
# What is counted, however busy the machine is.
UNTIMED = """
[health]
max_lag_p99 = "60s"
max_stall = "60s"
max_delay = "60s"
max_delay_share = 1.0
max_saturated_share = 1.0
"""
UNTIMED_SETS = [word for line in UNTIMED.split("\n") if "=" in line for word in ("--set", "health." + re.sub('[ "]', "", line))]
# What a busy machine may miss: the threshold in time, and that both sides' clocks agree, for which so few clients come back too rarely.
SLOW = ["--set", "groups.0.clients=8", "--set", "thresholds.reconnect_latency.0=p(99) < 60s"]
SMALL_RUN = ["run", "--example", "smoke", "--progress", "none", *UNTIMED_SETS, *SLOW]


def output(command: list, codes: tuple[int, ...] = (0,), **options) -> str:
    """What a command says, on both streams; it must end with one of these codes."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LONGEST_S, check=False, **options)
    assert done.returncode in codes, f"{command[:6]} ended with {done.returncode}: {done.stdout[-2000:]}"
    assert "panicked" not in done.stdout, done.stdout
    return done.stdout


def one(pattern: str) -> Path:
    (found,) = PACKAGES.glob(pattern)
    return found


def image_root() -> Path:
    return one("image/*/etc").parent


def files_of(folder: Path) -> dict[str, tuple[int, str]]:
    """Mode and digest of each file below a folder."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_mode & 0o7777, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in paths
    }


def needs_root(check):
    def checked() -> str:
        return check() if os.geteuid() == 0 else "left out: it takes root"

    checked.__name__ = check.__name__
    return checked


def in_root(root: Path, *arguments: str, user: int | None = None, codes: tuple[int, ...] = (0,), **options) -> str:
    """What a program says that has `root` as its root."""
    who = [f"--userspec={user}:{user}"] if user is not None else []
    return output([CHROOT, *who, str(root), *arguments], codes=codes, env={}, **options)


def check_two_builds_are_the_same() -> str:
    """Another folder, another moment, another umask: the same bytes."""
    with tempfile.TemporaryDirectory() as home:
        output(["bash", "-c", 'umask 077; exec "$@"', "-", str(ROOT / "packaging/build"), str(PROGRAM), home])
        first, second = files_of(PACKAGES), files_of(Path(home))
    different = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    assert not different, different
    assert len(first) > 80, len(first)
    return f"{len(first)} files"


def check_sums() -> str:
    said = output(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=PACKAGES)
    assert said.count(": OK") == 3, said
    return "3 files"


def check_bill_of_materials() -> str:
    text = one("*.cdx.json").read_text()
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert fault is None, fault
    bill = json.loads(text)
    _, parts = crates()
    named = {component["purl"] for component in bill["components"]}
    assert {part.purl for part in parts} < named
    assert len(parts) > 150, len(parts)
    assert all(component.get("hashes") for component in bill["components"] if component["purl"].startswith("pkg:cargo/"))
    tests_only = [name for name in ("proptest", "criterion", "insta") if any(f"/{name}@" in purl for purl in named)]
    assert not tests_only, tests_only
    refs = {component["bom-ref"] for component in bill["components"]}
    used = {ref for entry in bill["dependencies"] for ref in entry["dependsOn"]}
    assert used == refs, "each part is used by another, and none is used that is not named"
    return f"{len(named)} parts"


def check_licences() -> str:
    text = (PACKAGES / "tree/usr/share/doc/resurge/THIRD-PARTY.txt").read_text()
    _, parts = crates()
    missing = [part.title for part in parts if f"\n{part.title} (" not in text]
    assert not missing, missing
    assert "GNU LESSER GENERAL PUBLIC LICENSE" in text
    return f"{len(parts)} crates"


def check_manual_pages() -> str:
    pages = sorted((PACKAGES / "tree/usr/share/man/man1").iterdir())
    shown = re.findall(r"^  ([a-z]+) ", output([PROGRAM, "--help"]).split("Commands:")[1].split("Options:")[0], re.MULTILINE)
    names = {page.name.removesuffix(".1.gz") for page in pages}
    assert {f"resurge-{name}" for name in shown if name != "help"} <= names, names
    for page in pages:
        assert gzip.decompress(page.read_bytes()).decode().startswith(".ie"), page
    return f"{len(pages)} pages"


def check_completions() -> str:
    script = PACKAGES / "tree/usr/share/bash-completion/completions/resurge"
    ask = f'. {script}; COMP_WORDS=(resurge simu); COMP_CWORD=1; _resurge resurge simu resurge; echo "${{COMPREPLY[@]}}"'
    said = output(["bash", "-c", ask])
    assert said.strip() == "simulate", said
    return "bash completes"


@needs_root
def check_empty_root() -> str:
    """The program alone: no /dev, /etc, /proc, /tmp, no shell, no certificates."""
    with tempfile.TemporaryDirectory() as home:
        root = Path(home)
        (root / "resurge").write_bytes((PACKAGES / "tree/usr/bin/resurge").read_bytes())
        (root / "resurge").chmod(0o755)
        (root / "s.toml").write_text(output([PROGRAM, "examples", "smoke"]))
        assert "20 clients for 3s" in in_root(root, "/resurge", "check", "/s.toml")
        in_root(root, "/resurge", *SMALL_RUN, "--out", "/run")
        assert "<!doctype html>" in in_root(root, "/resurge", "report", "/run", "--format", "html").lower()
        in_root(root, "/resurge", "simulate", "--example", "deploy-storm", "--out", "/simulated")
        assert (root / "simulated/summary.csv").stat().st_size > 100
        in_root(root, "/resurge", "compare", "/run", "/run", codes=(0, 110))
        # Name services of another glibc would have to be loaded; those that are not there are passed over.
        (root / "etc").mkdir()
        (root / "etc/hosts").write_text("127.0.0.1 target.test\n")
        (root / "etc/nsswitch.conf").write_text("hosts: mymachines mdns4_minimal [NOTFOUND=return] files dns myhostname\n")
        with served(root) as port:
            plain = ["run", f"ws://target.test:{port}/", "--clients", "2", "--duration", "2s", "--progress", "none", *UNTIMED_SETS]
            in_root(root, "/resurge", *plain, "--out", "/by-name", codes=(0, 99, 110))
            outcomes = (root / "by-name/outcomes.csv").read_text()
            assert ",ok," in outcomes or ",http_" in outcomes, outcomes
            assert ",dns," not in outcomes, outcomes
        with served(root, "--tls") as port:
            secure = [*plain[:1], f"wss://target.test:{port}/", *plain[2:]]
            said = in_root(root, "/resurge", *secure, "--out", "/secure", codes=(0, 99, 110))
            assert ",tls," in (root / "secure/outcomes.csv").read_text() and "no certificates of authorities" in said, said
        left = sorted(path.name for path in root.iterdir())
        assert "tmp" not in left and "dev" not in left, left
    return "check, run, report, simulate, compare, serve"


@contextmanager
def served(root: Path, *more: str) -> Iterator[int]:
    """`resurge serve` in this root; answers with its port."""
    command = [CHROOT, str(root), "/resurge", "serve", "--listen", "127.0.0.1:0", *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={}) as process:
        try:
            line = process.stdout.readline().strip()
            assert re.match(r"listening on https?://127\.0\.0\.1:\d+$", line), line
            yield int(line.rsplit(":", 1)[1])
        finally:
            process.terminate()


@needs_root
def check_debian_package() -> str:
    """dpkg installs it into a root that has nothing, it runs there, and dpkg removes all of it."""
    with tempfile.TemporaryDirectory() as home:
        root = Path(home)
        for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "root"):
            (root / folder).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        before = set(root.rglob("*"))
        dpkg = ["dpkg", f"--root={root}", "--force-not-root", "--force-bad-path"]
        output([*dpkg, "--install", str(one("*.deb"))])
        listed = output([*dpkg, "--listfiles", "resurge"]).splitlines()
        for path in ("/usr/bin/resurge", "/usr/share/man/man1/resurge-run.1.gz", "/usr/share/doc/resurge/examples/grafana-dashboard.json"):
            assert path in listed, path
        owners = {(path.stat().st_uid, path.stat().st_gid) for path in (root / "usr").rglob("*")}
        assert owners == {(0, 0)}, owners
        in_root(root, "/usr/bin/resurge", "simulate", "/usr/share/doc/resurge/examples/scenarios/smoke.toml", "--out", "/root/run")
        output([*dpkg, "--verify", "resurge"])
        output([*dpkg, "--purge", "resurge"])
        left = {path for path in set(root.rglob("*")) - before if "var/lib/dpkg" not in str(path) and "/root/run" not in str(path)}
        assert not left, left
    return f"{len(listed)} paths"


@needs_root
def check_image() -> str:
    """The image's root, as the image's user: it runs, it writes where it starts, and nowhere else."""
    root = image_root()
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 2**20
    pulled = int(output(["bash", "-c", 'tar --create --directory "$1" . | gzip | wc --bytes', "-", str(root)])) / 2**20
    assert pulled <= LIMIT_MIB, f"{pulled:.1f} MiB"
    dockerfile = (root.parent / "Dockerfile").read_text()
    assert f"\nUSER {IMAGE_USER}:{IMAGE_USER}\n" in dockerfile and "\nFROM scratch\n" in dockerfile
    with tempfile.TemporaryDirectory() as home:
        copy = Path(home) / "root"
        output(["cp", "-a", str(root), str(copy)])
        Path(home).chmod(0o755)
        in_root(copy, "/usr/bin/resurge", *SMALL_RUN, "--out", "/data/run", user=IMAGE_USER)
        assert (copy / "data/run/report.html").stat().st_uid == IMAGE_USER
        said = in_root(copy, "/usr/bin/resurge", *SMALL_RUN, "--out", "/usr/run", user=IMAGE_USER, codes=(1, 2, 65))
        assert "/usr/run" in said, said
    return f"{size:.1f} MiB, {pulled:.1f} to pull"


def check_archive() -> str:
    """The archive unpacks into one folder, whose program runs."""
    with tempfile.TemporaryDirectory() as home, tarfile.open(one("*.tar.gz")) as archive:
        archive.extractall(home, filter="data")
        (top,) = Path(home).iterdir()
        assert output([top / "bin/resurge", "--version"]).startswith("resurge ")
        assert top.name == one("*.tar.gz").name.removesuffix(".tar.gz")
        assert (top / "share/resurge/resurge-ci").read_bytes() == SCRIPT.read_bytes()
    return top.name


def check_no_path_of_this_machine() -> str:
    """For releases, whose compiler is told to leave them out; a build for tests has them."""
    if not PROGRAM.name.startswith("release"):
        return "left out: no release"
    found = set(re.findall(rb"/(?:root|home|__w)/[\w./-]{4,40}", (PACKAGES / "tree/usr/bin/resurge").read_bytes()))
    assert not found, sorted(found)[:10]
    return "none"


def check_crate() -> str:
    """What goes to the registry has all that the sources take in, and nothing that only the repository needs."""
    with tempfile.TemporaryDirectory() as home:
        said = output(["cargo", "package", "--no-verify", "--locked", "--allow-dirty", "--target-dir", home], cwd=ROOT)
        assert "warning" not in said, said
        (packed,) = (Path(home) / "package").glob("*.crate")
        compressed = packed.stat().st_size / 2**20
    listed = output(["cargo", "package", "--list", "--locked", "--allow-dirty"], cwd=ROOT).splitlines()
    taken = 0
    for source in (ROOT / "src").rglob("*.rs"):
        for name in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', source.read_text()):
            path = os.path.normpath(source.parent / name)
            assert os.path.relpath(path, ROOT) in listed, f"{source} takes in {name}, which is not in the crate"
            taken += 1
    assert taken > 20, taken
    scenarios = {str(path.relative_to(ROOT)) for path in (ROOT / "scenarios").rglob("*.toml")}
    assert scenarios <= set(listed), scenarios - set(listed)
    junk = [name for name in listed if re.match(r"\.ci/|\.github/|docs/|packaging/|reports/|tests/interop/|proptest-", name)]
    assert not junk, junk[:10]
    assert compressed < 4, f"{compressed:.1f} MiB"
    return f"{len(listed)} files, {compressed:.1f} MiB"


def check_homebrew() -> str:
    sums = "".join(f"{letter * 64}  resurge-1.2.3-{target}-unknown-linux-gnu.tar.gz\n" for letter, target in (("a", "x86_64"), ("b", "aarch64")))
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(sums)
        file.flush()
        formula = output([str(ROOT / "packaging/homebrew"), "1.2.3", "https://example.com/me/resurge", file.name])
        assert "has no sum" in output([str(ROOT / "packaging/homebrew"), "9.9.9", "https://example.com/me/resurge", file.name], codes=(1,))
    assert not re.search(r"@[A-Z]+@", formula)
    assert "/v1.2.3/resurge-1.2.3-aarch64-unknown-linux-gnu.tar.gz" in formula and "b" * 64 in formula
    return "rendered"


def scripts_of(workflow: dict) -> Iterator[tuple[str, str]]:
    steps = [step for job in workflow.get("jobs", {}).values() for step in job["steps"]]
    steps += workflow.get("runs", {}).get("steps", [])
    assert steps
    for step in steps:
        assert ("uses" in step) != ("run" in step), step
        if "run" in step:
            yield step.get("name", step["run"]), step["run"]


def check_workflows() -> str:
    """They are YAML, their scripts are clean, no script holds what somebody else has written, and every action has its version."""
    files = [*sorted((ROOT / ".github/workflows").glob("*.yml")), ROOT / "action.yml"]
    shellcheck = [str(Path(sys.executable).parent / "shellcheck"), "--shell=bash"]
    seen = 0
    for file in files:
        for name, script in scripts_of(yaml.safe_load(file.read_text())):
            assert "${{" not in script, f"{file.name}: {name}: an expression in a script is read as shell"
            # As the runner starts it.
            output([*shellcheck, "-"], input="set -e\n" + script)
            seen += 1
        for used in re.findall(r"uses: (\S+)", file.read_text()):
            assert re.search(r"@(v\d+|[0-9a-f]{40})$", used), used
    for script in ("packaging/build", "packaging/compile", "packaging/homebrew", "packaging/name-repository", "packaging/link-static", "packaging/ci/resurge-ci", ".ci/run"):
        output([*shellcheck, str(ROOT / script)])
        seen += 1
    return f"{seen} scripts"


def check_manual_of_the_action() -> str:
    """docs/src/run/ci.md has every input of action.yml with its default, every variable of gitlab.yml, and no others."""
    page = (ROOT / "docs/src/run/ci.md").read_text()
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    rows = re.findall(r"^\| `([a-z-]+)` \|([^|]*)\|", page, re.MULTILINE)
    told = {name: default.strip().strip("`") for name, default in rows}
    stated = {name: "needed" if entry.get("required") else str(entry["default"]) for name, entry in inputs.items()}
    stated["token"] = "the job's"
    assert told == stated, (told, stated)
    variables = yaml.safe_load((ROOT / "packaging/ci/gitlab.yml").read_text())[".resurge"]["variables"]
    named = set(re.findall(r"^\| `(RESURGE_[A-Z_]+)` \|", page, re.MULTILINE))
    assert named == {*variables, "RESURGE_TOKEN"} - {"RESURGE_HOME"}, named
    return f"{len(inputs)} inputs, {len(named)} variables"


class Forge(http.server.BaseHTTPRequestHandler):
    """As much of the two forges' interfaces as comments take. The first page of comments is somebody else's."""

    comments: dict[int, str] = {}
    seen: list[tuple[str, str]] = []
    token = ""

    def answer(self, code: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        text = json.loads(self.rfile.read(size))["body"] if size else ""
        path, _, query = self.path.partition("?")
        self.seen.append((self.command, path))
        shown = self.headers.get("authorization") or self.headers.get("private-token")
        if shown != self.token:
            return self.answer(403, {"message": "Resource not accessible by integration"})
        if self.command == "GET":
            others = [{"id": 1000 + n, "body": "looks good"} for n in range(100)]
            ours = [{"id": key, "body": body} for key, body in self.comments.items()]
            return self.answer(200, others if query.endswith("page=1") else ours)
        key = len(self.comments) + 1 if self.command == "POST" else int(path.rsplit("/", 1)[1])
        assert self.command == "POST" or key in self.comments
        self.comments[key] = text
        return self.answer(201, {"id": key})

    do_GET = do_POST = do_PATCH = do_PUT = handle_any  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def forge(token: str) -> Iterator[tuple[str, type[Forge]]]:
    kind = type("Asked", (Forge,), {"comments": {}, "seen": [], "token": token})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", kind
        server.shutdown()


def check_gate_script() -> str:
    """As the action and the template call it: install from an archive, run, compare, comment twice, verdict."""
    with tempfile.TemporaryDirectory() as home, forge("Bearer s3cret") as (github, asked), forge("s3cret") as (gitlab, noted):
        work = Path(home)
        version = one("*.tar.gz").name.split("-")[1]
        event, path, summary = work / "event.json", work / "path", work / "summary.md"
        scenario = work / "load.toml"
        scenario.write_text((ROOT / "scenarios/smoke.toml").read_text() + UNTIMED)
        event.write_text(json.dumps({"pull_request": {"number": 7}}))
        plain = {"PATH": os.environ["PATH"], "HOME": home, "RESURGE_OUT": f"{home}/out"}
        base = {
            **plain,
            "RESURGE_VERSION": version,
            "RESURGE_DOWNLOAD": PACKAGES.as_uri(),
            "RESURGE_HOME": f"{home}/resurge",
            "RESURGE_SCENARIO": str(scenario),
            "RESURGE_REPEATS": "3",
            "RESURGE_ARGS": " ".join(f"'{word}'" for word in SLOW),
            "RESURGE_TOKEN": "s3cret",
            "GITHUB_PATH": str(path),
        }
        on_github = {"GITHUB_EVENT_PATH": str(event), "GITHUB_API_URL": github, "GITHUB_REPOSITORY": "me/mine"}
        on_gitlab = {"CI_MERGE_REQUEST_IID": "9", "CI_API_V4_URL": gitlab, "CI_PROJECT_ID": "5"}

        def step(name: str, codes: tuple[int, ...] = (0,), **more: str) -> str:
            said = output(["bash", str(SCRIPT), name], codes=codes, env={**base, **more}, cwd=ROOT)
            assert "s3cret" not in said, said
            return said

        assert f"resurge {version}" in step("install")
        base["PATH"] = f"{path.read_text().strip()}:{base['PATH']}"
        assert Path(base["PATH"].split(":")[0]).is_relative_to(work)
        assert "s3cret" not in step("verdict", codes=(1,))
        said = step("run")
        assert (work / "out/run.code").read_text() == "0\n", said
        assert len(list((work / "out/runs").iterdir())) == 3 and (work / "out/junit-3.xml").exists()
        step("compare", RESURGE_BASELINE="reports/baselines/no-such.baseline")
        step("verdict")
        first = (work / "out/comment.md").read_text()
        for more, kind in ((on_github, asked), (on_gitlab, noted)):
            step("comment", **more)
            assert list(kind.comments) == [1] and kind.comments[1].endswith(first), kind.comments
        # The second push: the comparison takes the comment's place.
        own = {"RESURGE_BASELINE": f"{home}/base/own.baseline"}
        step("compare", **own)
        assert "saved" in step("baseline", **own)
        step("compare", **own, GITHUB_STEP_SUMMARY=str(summary))
        compared = (work / "out/comment.md").read_text()
        assert compared != first and (work / "out/compare.md").read_text() in compared and compared in summary.read_text()
        assert "<testsuite" in (work / "out/junit-compare.xml").read_text()
        for more, kind, method in ((on_github, asked, "PATCH"), (on_gitlab, noted, "PUT")):
            step("comment", **more)
            assert list(kind.comments) == [1] and kind.comments[1].endswith(compared), kind.comments
            assert [verb for verb, _ in kind.seen].count(method) == 1, kind.seen
        assert asked.seen[0][1] == "/repos/me/mine/issues/7/comments"
        assert noted.seen[0][1] == "/projects/5/merge_requests/9/notes"
        # From a fork: the token may not write, and the gate goes on.
        assert "cannot be read" in step("comment", **on_github, RESURGE_TOKEN="read-only")
        (work / "out/comment.md").write_text("é" * 90_000)
        step("comment", **on_github)
        assert 60_000 < len(asked.comments[1]) < 65_536
        # A baseline that is not there yet is no failure, whether it is named as a file or by name, unless it must be there.
        for missing in ("reports/baselines/no-such.baseline", "no-such"):
            assert "not there yet" in step("compare", RESURGE_BASELINE=missing)
            step("compare", RESURGE_BASELINE=missing, RESURGE_BASELINE_REQUIRED="true")
            assert "ended with 65" in step("verdict", codes=(65,))
            assert "not there yet" in (work / "out/comment.md").read_text()
        # A threshold that fails fails the gate, after the comparison, and never becomes the baseline.
        failing = {"RESURGE_OUT": f"{home}/failing", "RESURGE_REPEATS": "1"}
        step("run", **failing, RESURGE_ARGS=base["RESURGE_ARGS"] + " --set 'thresholds.reconnect_latency.0=p(99) < 1us'")
        before = (work / "base/own.baseline").read_bytes()
        step("compare", **failing, **own)
        assert "❌ a threshold failed" in (work / "failing/comment.md").read_text()
        assert "stays as it is" in step("baseline", **failing, **own)
        assert "ended with 99" in step("verdict", codes=(99,), **failing)
        # Nor does a regression, unless somebody takes it; nor what cannot be compared.
        slow = {"RESURGE_OUT": f"{home}/slow", "RESURGE_COMPARE_ARGS": "--allow target.upgrade_delay"}
        step("run", **slow, RESURGE_ARGS=base["RESURGE_ARGS"] + " --set target.upgrade_delay=50ms")
        step("compare", **{**slow, "RESURGE_COMPARE_ARGS": ""}, **own)
        assert "not comparable" in (work / "slow/comment.md").read_text()
        assert "<error" in (work / "slow/junit-compare.xml").read_text()
        assert "ended with 65" in step("verdict", codes=(65,), **slow)
        step("compare", **slow, **own)
        assert "❌ regression" in (work / "slow/comment.md").read_text()
        assert "<failure" in (work / "slow/junit-compare.xml").read_text()
        assert "stays as it is" in step("baseline", **slow, **own)
        assert (work / "base/own.baseline").read_bytes() == before
        assert "ended with 112" in step("verdict", codes=(112,), **slow)
        step("baseline", **slow, **own, RESURGE_ACCEPT="true")
        assert (work / "base/own.baseline").read_bytes() != before
        step("run", codes=(104,), **{**failing, "RESURGE_OUT": f"{home}/bad"}, RESURGE_ARGS="--set no.such=1")
        # What is not what the sums say is not installed.
        altered = work / "altered"
        altered.mkdir()
        archive = one("*.tar.gz")
        (altered / archive.name).write_bytes(archive.read_bytes() + b"\n")
        (altered / "SHA256SUMS").write_bytes((PACKAGES / "SHA256SUMS").read_bytes())
        for text in (None, "0 other\n"):
            if text:
                (altered / "SHA256SUMS").write_text(text)
            said = step("install", codes=(2,), RESURGE_DOWNLOAD=altered.as_uri(), RESURGE_HOME=f"{home}/second")
            assert "nothing is installed" in said and not (work / "second" / archive.name.removesuffix(".tar.gz")).exists()
    return "GitHub and GitLab"


CHECKS = [
    check_workflows,
    check_manual_of_the_action,
    check_homebrew,
    check_crate,
    check_sums,
    check_archive,
    check_bill_of_materials,
    check_licences,
    check_manual_pages,
    check_completions,
    check_no_path_of_this_machine,
    check_empty_root,
    check_debian_package,
    check_image,
    check_gate_script,
    check_two_builds_are_the_same,
]


def main() -> int:
    failed = 0
    # All, or those that are named.
    wanted = [check for check in CHECKS if not sys.argv[3:] or check.__name__ in sys.argv[3:]]
    for check in wanted:
        began = time.monotonic()
        try:
            said, passed = check(), True
        except Exception as error:  # noqa: BLE001 - whatever it is, the check has failed
            said, passed = repr(error), False
        failed += not passed
        print(f"{'ok     ' if passed else 'FAILED '} {check.__name__} ({time.monotonic() - began:.1f} s): {said}", flush=True)
    print(f"{len(wanted) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
