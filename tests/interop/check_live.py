"""The page of a run under way in a real browser: Debian's Chromium, headless, driven by playwright-core, audited by axe-core.

Its numbers move, its buttons make a storm and end the run, the report is read from it when the run is gone; and neither it nor `report.html` violates
WCAG 2 at level A or AA, light or dark, narrow or wide.
"""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from check_report_html import chromium
from processes import HERE, LONGEST, NODE_HOME, RESURGE, ROOT, UNTIMED_SETS, node, started

WIDTHS, SCHEMES = (400, 1600), ("light", "dark")


def watch(url, report, folder=None):
    """What the browser saw."""
    shutil.copy(HERE / "node" / "audit.js", NODE_HOME / "audit.js")
    command = node("live.js", chromium(), url, report, *([folder] if folder else []))
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * LONGEST)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def stormy(out, *more):
    """The command of a run with clients that stay, and no storm of its own before its end."""
    sets = ["groups.0.clients=60", "groups.1.clients=60", "storms.0.at=170s", *more]
    return [RESURGE, "run", "scenarios/deploy-storm.toml", *[word for one in sets for word in ("--set", one)], *UNTIMED_SETS, "--progress", "none", "--out", str(out)]


def check_live(folder=None):
    """Watched, struck, stopped."""
    with tempfile.TemporaryDirectory() as home:
        early, out = Path(home) / "early", Path(home) / "run"
        command = stormy(early, "duration=8s", "storms.0.at=4s", "target.messages_every=500ms")
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=LONGEST, check=False)
        command = [*stormy(out, "duration=180s"), "--live", "0"]
        with started(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
            url = re.fullmatch(r"live page: (http://\S+)\n", process.stderr.readline())[1]
            seen = watch(url, early / "report.html", folder)
            process.communicate(timeout=LONGEST)
        assert process.returncode == 105, process.returncode
        assert seen["moved"][0] != seen["moved"][1] and seen["connected"] > 0, seen
        assert re.fullmatch(r"A storm struck at \d+\.\d s\.", seen["said"]), seen["said"]
        assert "by hand" in seen["storm"][0] and int(seen["storm"][2]) > 0, seen["storm"]
        assert seen["drawn"] and seen["pressed"] == "false" and seen["sure"] == "Click again to stop", seen
        assert seen["verdict"] == seen["report"] == "INTERRUPTED" and seen["disabled"], seen
        assert seen["messages"] == [], seen["messages"]
        storms = json.loads((out / "run.json").read_text())["storms"]
        assert [storm["fraction"] for storm in storms] == [1.0, 0.5] and "by hand" in storms[1]["what"], storms
        assert {(view["page"], view["width"], view["scheme"]) for view in seen["views"]} >= {
            (page, width, scheme) for page in ("live", "report") for width in WIDTHS for scheme in SCHEMES
        }
        for view in [*seen["views"], {"page": "ended", "overflow": 0, "messages": [], **seen["ended"]}]:
            where = (view["page"], view.get("width"), view.get("scheme"))
            assert view["violations"] == [] and view["passes"] > 10, (where, json.dumps(view["violations"], indent=1))
            assert view["overflow"] <= 0 and view["messages"] == [], (where, view["overflow"], view["messages"])
        print(f"{len(seen['views'])} views without a violation; storm by hand: {seen['storm']}")


CHECKS = [check_live]
