# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The short form of the table that ``make soak`` prints."""

from __future__ import annotations

import pytest

from benchmarks.service import table

pytestmark = pytest.mark.runner


@pytest.mark.parametrize("name", table.ROWS)
def test_the_rows_of_the_service_table_hold(name):
    rows = table.measure(name, short=True)
    assert rows
    assert [row for row in rows if not row.holds] == []
