# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Prints how many tests of each kind ran, and which were skipped, from the JUnit reports that pytest and Gradle write.

Usage: python tests/summary.py REPORTS JAVA_PROJECT
"""

import sys
import xml.etree.ElementTree as ET  # reports that our own tools wrote
from pathlib import Path

# A test is cross-language if it sends a pipeline from Java through the Python service, whichever side starts it.
CROSS_LANGUAGE = (
    "cross_language",
    "CrossLanguage",
    "ConformanceTest",
    "test_images",
    "test_sentences",
    "test_worker_image",
)


def main(reports: Path, java_project: Path) -> int:
    """Prints the table; returns the number of failures."""
    counts = {kind: {"passed": 0, "failed": 0, "skipped": 0} for kind in ("Python", "Java", "cross-language")}
    skipped: dict[str, list[ET.Element]] = {}
    for language, files in {
        "Python": reports.glob("*.xml"),
        "Java": java_project.glob("*/build/test-results/**/*.xml"),
    }.items():
        for case in (case for file in files for case in ET.parse(file).iter("testcase")):  # noqa: S314
            kind = "cross-language" if any(part in case.get("classname", "") for part in CROSS_LANGUAGE) else language
            outcome = (
                case.find("skipped") is not None,
                case.find("failure") is not None or case.find("error") is not None,
            )
            counts[kind]["skipped" if outcome[0] else "failed" if outcome[1] else "passed"] += 1
            if outcome[0]:  # Gradle does not write the reason down
                skipped.setdefault(case.find("skipped").get("message", "no reason in the report"), []).append(case)
    for reason, cases in skipped.items():
        print(f"skipped, {reason}:")
        for case in cases:
            print(f"  {case.get('classname')} {case.get('name')}")
    for kind, count in counts.items():
        if any(count.values()):
            print(f"{kind:15} {count['passed']:5} passed {count['failed']:4} failed {count['skipped']:4} skipped")
    total = {key: sum(count[key] for count in counts.values()) for key in ("passed", "failed", "skipped")}
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return total["failed"]


if __name__ == "__main__":
    sys.exit(1 if main(Path(sys.argv[1]), Path(sys.argv[2])) else 0)
