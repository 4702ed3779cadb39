"""Every situation there is a case for, whichever module describes it."""

from __future__ import annotations

import tests.core.shared_cases  # noqa: F401 - importing it registers its cases
from tests.core.cases import CASES

__all__ = ["CASES"]
