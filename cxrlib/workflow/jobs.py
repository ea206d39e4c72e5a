"""One unit of a study, as the command line makes it."""

import contextlib
import importlib
import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cxrlib.finished import refuse_damaged, standing
from cxrlib.study import Study
from cxrlib.units import Unit
from cxrlib.workflow.processes import one_gpu
from cxrlib.workflow.report import a_job_of

logger = logging.getLogger(__name__)


def do(study: Study, unit: Unit, *, force: bool, stamp: Path | None, progress: Callable[..., Any], **more: Any) -> None:
    """Make a unit unless it is finished, which is found out before anything heavy is loaded.

    With a `stamp` this is a job of a report: it ends when the report does, and tells Snakemake that it is done.
    """
    with contextlib.ExitStack() as held:
        if stamp is not None:
            held.enter_context(a_job_of(study))
        refuse_damaged(study, unit)
        varied = {key: value for key, value in more.items() if value}
        if not force and standing(study, unit, varied=varied).finished:
            logger.info("%s: finished; nothing to do", unit.title)
        else:
            held.enter_context(one_gpu(unit.resources(study).gpu_memory_mb))
            module, name = unit.stage.function.split(":")
            function = getattr(importlib.import_module(module), name)
            if "progress" in inspect.signature(function).parameters:
                more["progress"] = progress
            key = dict(zip(unit.stage.keys, unit.key, strict=True))
            function(study, **key, force=force, **more)
        product = unit.stage.product
        if product is not None and stamp is None:
            logger.info("%s", product(study, *unit.key))
        if stamp is not None:
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.touch()
