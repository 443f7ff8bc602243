"""Other budgets for the gate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from resnet_serve import precisions


def change_budgets(patch: pytest.MonkeyPatch, names: Iterable[str], **changes: Any) -> None:
    """Change fields of the budgets of these precisions."""
    table = dict(precisions.PRECISIONS)
    for name in names:
        table[name] = replace(table[name], budget=replace(table[name].budget, **changes))
    patch.setattr(precisions, "PRECISIONS", table)
