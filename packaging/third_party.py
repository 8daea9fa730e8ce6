"""Prints the licences of all that is linked into the program, each text once, with the names of what it covers.

Fails where something has no text, and where a licence is none that deny.toml allows.
"""

import re
import sys
import tomllib
from pathlib import Path

from dependencies import ROOT, Part, beside, crates

# Of crates that come without a text.
WITHOUT_TEXT = {"Apache-2.0": ROOT / "LICENSE-APACHE"}
# Linked in whole, as glibc's licence allows where the source of the rest is to be had (section 6).
LINKED_LIBRARY = {"LGPL-2.1-or-later"}

INTRODUCTION = """\
resurge is licensed under MIT OR Apache-2.0. The program is linked with the software below.

The GNU C Library (LGPL-2.1-or-later) is linked statically. The whole source of resurge is published under the licences
above, so that the program can be built again with another version of the library: `cargo build --profile dist`.
The Rust standard library is licensed under MIT OR Apache-2.0; its authors and those of its parts are named at
https://github.com/rust-lang/rust/blob/main/COPYRIGHT.
"""


def is_allowed(licence: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression can be met by what deny.toml allows."""
    licence = licence.replace("Apache-2.0 WITH LLVM-exception", "LLVM")
    names = allowed | {"LLVM"}
    words = re.findall(r"[()]|[\w.+-]+", licence)
    python = {"AND": "and", "OR": "or", "(": "(", ")": ")"}
    return eval(" ".join(python.get(word, str(word in names)) for word in words), {"__builtins__": {}})  # noqa: S307


def texts_of(part: Part) -> list[Path]:
    found = part.texts or [path for path in [WITHOUT_TEXT.get(part.licence)] if path]
    if missing := [path for path in found if not path.exists()]:
        sys.exit(f"error: {part.title}: {missing[0]} is not there; packages are made on Debian, which has it")
    if not found:
        sys.exit(f"error: {part.title} ({part.licence}) has no text of its licence: add one to WITHOUT_TEXT")
    return found


def main() -> None:
    allowed = set(tomllib.loads((ROOT / "deny.toml").read_text())["licenses"]["allow"])
    covered: dict[str, tuple[str, list[str]]] = {}
    for part in [*beside(), *crates()[1]]:
        if part.licence not in LINKED_LIBRARY and not is_allowed(part.licence, allowed):
            sys.exit(f"error: {part.title}: deny.toml does not allow {part.licence}")
        for path in texts_of(part):
            text = path.read_text(errors="replace").strip()
            _, names = covered.setdefault(" ".join(text.split()), (text, []))
            if (name := f"{part.title} ({part.licence})") not in names:
                names.append(name)
    print(INTRODUCTION)
    for text, names in sorted(covered.values(), key=lambda entry: (-len(entry[1]), entry[1])):
        print("=" * 80, *names, "-" * 80, text, "", sep="\n")


if __name__ == "__main__":
    main()
