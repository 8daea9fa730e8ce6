"""Prints the program's bill of materials: CycloneDX 1.6 in JSON, the same bytes for the same sources and SOURCE_DATE_EPOCH."""

import json
import os
import uuid
from datetime import UTC, datetime

from dependencies import Part, beside, crates

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "pkg:cargo/resurge")


def component(part: Part, kind: str) -> dict:
    stated = {"type": kind, "bom-ref": part.purl, "name": part.name, "version": part.version}
    if part.sha256:
        stated["hashes"] = [{"alg": "SHA-256", "content": part.sha256}]
    return {**stated, "licenses": [{"expression": part.licence}], "purl": part.purl}


def main() -> None:
    program, parts = crates()
    others = beside()
    made = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    program.needs += [part.purl for part in others]
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": component(program, "application")},
        "components": [component(part, "library") for part in parts + others],
        "dependencies": [{"ref": part.purl, "dependsOn": part.needs} for part in [program, *parts, *others]],
    }
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(NAMESPACE, json.dumps(bill, sort_keys=True))}"
    print(json.dumps(bill, indent=1))


if __name__ == "__main__":
    main()
