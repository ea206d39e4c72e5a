"""The record of an audit, for tests that write the films of a role themselves instead of preparing them."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from cxrlib.files import read_json
from cxrlib.films.settings import ROLES
from cxrlib.records import write_record
from cxrlib.study import Study


def write_audit(
    study: Study, roles: Sequence[str] = ROLES, excluded: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Record that the audit saw these roles' films as they are now and excluded the ids given."""
    ids = {role: sorted((excluded or {}).get(role, ())) for role in roles}
    hashes = {role: hashlib.sha256(json.dumps(ids[role]).encode()).hexdigest() for role in roles}
    prepared = {role: read_json(study.results.data_record(role)) for role in roles}
    inputs = {role: {"manifest_sha256": prepared[role]["manifest_sha256"]} for role in roles}
    write_record(study.results.audit_record, {}, inputs, 0.0, excluded=ids, excluded_sha256=hashes)
