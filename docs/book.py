"""What the generator of the manual does beyond its own: order, anchors and links are those that the forge shows.

SUMMARY.md gives the order. A link to a file of the repository that is no page leads to that file, which is copied beside the pages;
README, SECURITY and the like become pages themselves. A link that leads nowhere ends the build.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs/src"
FENCE = re.compile(r"^ {0,3}(```|~~~)")
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
ENTRY = re.compile(r"^\s*(?:- )?\[(?P<title>[^\]]+)\]\((?P<page>[^)]+)\)$")


def slug(title: str, separator: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    text = re.sub(r"<[^>]+>", "", title).strip().lower()
    return "".join(c for c in text if c.isalnum() or c in " -_").replace(" ", separator)


def nav() -> list:
    """The entries of SUMMARY.md, each below the heading that it stands under."""
    entries, section = [], None
    for line in (PAGES / "SUMMARY.md").read_text().splitlines():
        if found := ENTRY.match(line):
            (section if section is not None else entries).append({found["title"]: found["page"]})
        elif line.startswith("# ") and line != "# Summary":
            section = []
            entries.append({line.removeprefix("# "): section})
        elif line.strip() and line != "# Summary":
            raise PluginError(f"SUMMARY.md: neither a heading nor an entry: {line}")
    return entries


def on_config(config):
    config.nav = nav()
    config.mdx_configs["toc"]["slugify"] = slug
    return config


def place(path: Path) -> str | None:
    """Where a file of the repository is in the manual; none for folders."""
    if path.is_dir():
        return None
    if path == PAGES / "SUMMARY.md":
        return "index.md"
    if path.is_relative_to(PAGES):
        return path.relative_to(PAGES).as_posix()
    name = path.relative_to(ROOT).as_posix()
    return f"project/{name}" if path.suffix == ".md" else f"files/{name.lstrip('.')}"


def linked(text: str, source: Path, uri: str) -> tuple[str, set[Path]]:
    """A page's text with its links led to where the manual has what they name; and the files outside that it names."""
    outside = set()

    def led(match: re.Match) -> str:
        path, mark, anchor = match[1].partition("#")
        if "://" in path or not path or path.startswith("mailto:"):
            return match[1]
        target = (source.parent / path).resolve()
        if not target.exists() or not target.is_relative_to(ROOT):
            raise PluginError(f"{source.relative_to(ROOT)}: {path} is not there")
        there = place(target)
        if there is None:
            raise PluginError(f"{source.relative_to(ROOT)}: {path} is a folder, which a site cannot show: link to a file in it")
        if not target.is_relative_to(PAGES):
            outside.add(target)
        return posixpath.relpath(there, posixpath.dirname(uri) or ".") + mark + anchor

    lines, in_fence = [], False
    for line in text.splitlines():
        if FENCE.match(line):
            in_fence = not in_fence
        # What stands in a code span is no link: each second part.
        parts = [line] if in_fence else re.split(r"(`[^`]*`)", line)
        lines.append("".join(part if in_fence or at % 2 else LINK.sub(led, part) for at, part in enumerate(parts)))
    return "\n".join(lines) + "\n", outside


def on_files(files, config):
    """The files outside that pages name, and those that these name in turn."""
    waiting = [(PAGES / file.src_uri, file.src_uri) for file in files.documentation_pages()]
    added: set[Path] = set()
    while waiting:
        source, uri = waiting.pop()
        text, outside = linked(source.read_text(), source, uri)
        if source in added:
            files.append(File.generated(config, uri, content=text))
        for path in outside - added:
            added.add(path)
            if path.suffix == ".md":
                waiting.append((path, place(path)))
            else:
                files.append(File.generated(config, place(path), content=path.read_bytes()))
    names = sorted(place(path) for path in added if path.suffix == ".md")
    if names:
        config.nav.append({"The project": [{Path(name).stem.capitalize(): name} for name in names]})
    return files


def on_page_markdown(markdown, page, **_):
    if page.file.generated_by:
        return markdown
    text, _ = linked(markdown, PAGES / page.file.src_uri, page.file.src_uri)
    return text
