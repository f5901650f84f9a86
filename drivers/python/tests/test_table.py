"""Every scenario of the drivers' common table has a test here."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_scenario_of_the_table_has_a_test() -> None:
    table = (HERE / "../../behaviours.md").read_text()
    scenarios = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)
    assert len(scenarios) > 50
    tests = "\n".join(file.read_text() for file in HERE.glob("test_*.py"))
    missing = [name for name in scenarios if f"def test_{name.replace('-', '_')}(" not in tests]
    assert not missing
