"""The crates that are part of the program, and what else is linked into it: read from Cargo, Cargo.lock and the registry's sources."""

import json
import os
import re
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The features of a release.
FEATURES = ["--features", "cluster"]
LICENCE_FILE = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
NOT_A_TEXT = {".rs", ".html", ".py", ".json", ".toml", ".yml", ".yaml"}


@dataclass
class Part:
    """Something that is linked into the program: a crate, or one of the few parts that no crate is."""

    name: str
    version: str
    purl: str
    licence: str
    texts: list[Path]
    sha256: str | None = None
    needs: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"


def said(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def host() -> str:
    """The target triple of this machine, for which packages are made."""
    return re.search(r"^host: (.*)$", said("rustc", "-vV"), re.MULTILINE).group(1)


def licence_files(folder: Path) -> list[Path]:
    """The texts of a crate's licences, and of what it has taken in: ring's and mimalloc's C code have their own."""
    found = (path for path in folder.rglob("*") if path.is_file() and LICENCE_FILE.match(path.name))
    return sorted(path for path in found if path.suffix.lower() not in NOT_A_TEXT)


def linked() -> set[tuple[str, str]]:
    """Name and version of each crate in the program: neither build scripts nor macros are."""
    command = ["cargo", "tree", "--locked", "--edges", "normal,no-proc-macro", "--target", host(), *FEATURES]
    lines = said(*command, "--prefix", "none", "--format", "{p}").splitlines()
    words = [line.split() for line in lines if line]
    return {(name, version.removeprefix("v")) for name, version, *_ in words}


def crates() -> tuple[Part, list[Part]]:
    """The program itself, and the crates in it by name and version."""
    wanted = linked()
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host(), *FEATURES]
    metadata = json.loads(said(*command))
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in locked}
    packages = {p["id"]: p for p in metadata["packages"] if (p["name"], p["version"]) in wanted}
    purls = {key: f"pkg:cargo/{p['name']}@{p['version']}" for key, p in packages.items()}
    own, parts = metadata["resolve"]["root"], {}
    for node in metadata["resolve"]["nodes"]:
        package = packages.get(node["id"])
        if package is None:
            continue
        normal = (d["pkg"] for d in node["deps"] if any(kind["kind"] is None for kind in d["dep_kinds"]))
        folder = Path(package["manifest_path"]).parent
        parts[node["id"]] = Part(
            name=package["name"],
            version=package["version"],
            purl=purls[node["id"]],
            licence=(package["license"] or "").replace("/", " OR "),
            texts=[] if node["id"] == own else licence_files(folder),
            sha256=checksums[package["name"], package["version"]],
            needs=sorted({purls[key] for key in normal if key in purls}),
        )
    assert len(parts) == len(wanted), "Cargo's two answers name different crates"
    program = parts.pop(own)
    return program, sorted(parts.values(), key=lambda part: (part.name, part.version))


def beside() -> list[Part]:
    """What is linked in and is no crate: the C library, Rust's own, and the plots' script in the reports."""
    libc = os.confstr("CS_GNU_LIBC_VERSION").split()[1]
    rust = said("rustc", "-V").split()[1]
    vendored = ROOT / "src/report/html/vendor"
    plot = re.search(r"v(\d+\.\d+\.\d+)", (vendored / "uPlot.iife.min.js").read_text()[:400]).group(1)
    return [
        Part("glibc", libc, f"pkg:generic/glibc@{libc}", "LGPL-2.1-or-later", [Path("/usr/share/common-licenses/LGPL-2.1")]),
        Part("rust-std", rust, f"pkg:generic/rust-std@{rust}", "MIT OR Apache-2.0", [ROOT / "LICENSE-APACHE"]),
        Part("uPlot", plot, f"pkg:npm/uplot@{plot}", "MIT", [vendored / "uPlot-LICENSE"]),
    ]
