"""History as tables: one file is one row type, the pure fold that fills it, and what may be asked of it."""

from typing import Any

from dre.projections.audit_trail import AUDIT_TRAIL
from dre.projections.configuration import CONFIGURATION
from dre.projections.evidence import EVIDENCE
from dre.projections.operations import OPERATIONS
from dre.projections.projection import Projection
from dre.projections.users import USERS
from dre.projections.verifications import VERIFICATIONS

PROJECTIONS: tuple[Projection[Any], ...] = (
    OPERATIONS,
    EVIDENCE,
    VERIFICATIONS,
    AUDIT_TRAIL,
    USERS,
    CONFIGURATION,
)
"""Every table there is, in the order they are shown."""
