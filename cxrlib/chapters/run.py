"""Run one chapter for a study and keep the executed copy, ready to be published."""

import ast
import difflib
import json
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cxrlib.artifacts import CHAPTERS, HEADLESS
from cxrlib.errors import InputError
from cxrlib.files import WRITTEN, homes, write_text
from cxrlib.films.settings import EVERY_ROLE
from cxrlib.finished import makes
from cxrlib.reading.events import people_have_answered
from cxrlib.records import write_record
from cxrlib.study import REPOSITORY, SHIPPED, Study

logger = logging.getLogger(__name__)

# A kernel has a session of its own: only so it dies with a chapter that is killed, and writes nothing any more.
KERNEL = (
    "from cxrlib.workflow.processes import dies_with_its_parent; dies_with_its_parent(); "
    "from ipykernel.kernelapp import launch_new_instance; launch_new_instance()"
)
# The tag of cells that show what readers said.
OF_READERS = "of-readers"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


@makes("chapter")
def run_chapter(study: Study, name: str, *, parameters: Mapping[str, Any] | None = None, force: bool = False) -> Path:
    """Execute `notebooks/<name>.ipynb` headless and return the executed copy, `results/<study>/chapters/<name>.ipynb`.

    `parameters` replace values of the notebook's `parameters` cell; `study` is set for you. A chapter that is done
    with the same notebook, code, settings and results is returned at once, unless `force`. Its record names the copy,
    and the figures and tables that it wrote. A notebook that fails is kept as `logs/chapters/<name>.failed.ipynb`, as
    what it says is not looked through for publishing, and never takes the place of a good one.

    Raises `InputError` for an unknown chapter or parameter, a value of the wrong type, stored widget state, or where a
    cell raised one; `RuntimeError` for any other failure of a cell, saying which and why.
    """
    notebook = notebook_path(study, name)
    values = _checked_parameters(notebook, {"study": _study_argument(study), **(parameters or {})})
    target = study.results.chapter(name)
    logs = study.results.chapter_logs
    logs.mkdir(parents=True, exist_ok=True)
    running, failed = logs / f"{name}.running.ipynb", logs / f"{name}.failed.ipynb"
    started, written = time.monotonic(), logs / f"{name}.written"
    written.unlink(missing_ok=True)
    try:
        _execute(notebook, running, values, study.root, written)
        executed = _publishable(running, name, study, logs)
    except Exception as error:
        if running.exists():
            running.replace(failed)
        raise _explained(error, name, failed) from error
    seconds = round(time.monotonic() - started, 3)
    executed.metadata["cxr"] = {"chapter": name, "parameters": values, "seconds": seconds}
    write_text(target, json.dumps(executed, indent=1, ensure_ascii=False) + "\n")
    outputs = [target, *_files_shown(study, written)]
    write_record(study.results.chapter_record(name), {"parameters": values}, {}, seconds, outputs=outputs)
    running.unlink()
    failed.unlink(missing_ok=True)
    return target


def notebook_path(study: Study, name: str) -> Path:
    """The chapter's notebook: the study's own, or the one that comes with the repository. Raises `InputError`."""
    if name not in CHAPTERS:
        near = difflib.get_close_matches(name, CHAPTERS, n=1, cutoff=0.4)
        hint = f"did you mean `{near[0]}`?" if near else f"chapters: {', '.join(CHAPTERS)}"
        raise InputError(f"chapter `{name}`: there is none; {hint}")
    for home in (study.root, REPOSITORY):
        path = home / "notebooks" / f"{name}.ipynb"
        if path.is_file():
            return path
    raise InputError(f"chapter `{name}`: no notebooks/{name}.ipynb in {study.root} or {REPOSITORY}")


def inspect_parameters(notebook: Path) -> dict[str, Any]:
    """Names and default values in the notebook's cell tagged `parameters`.

    Raises `InputError` if there is no such cell or if it holds anything but assignments of literals: papermill would
    run such a notebook without a word, with values other than those asked for.
    """
    cell = _parameters_cell(_read_notebook(notebook))
    if cell is None:
        raise InputError(f"{notebook}: no cell is tagged `parameters`; tag the first code cell")
    try:
        statements = ast.parse(cell.source).body
        return {_name(statement): ast.literal_eval(statement.value) for statement in statements}
    except (SyntaxError, ValueError, AttributeError) as error:
        raise InputError(
            f"{notebook}: the cell tagged `parameters` may hold assignments of literals only, such as "
            f'`study = "demo"`; found {error}'
        ) from None


def _name(statement: ast.stmt) -> str:
    target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
    return target.id


def _read_notebook(path: Path) -> Any:
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise InputError(f"{path}: not a readable notebook: {error}") from None


def _tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def _parameters_cell(notebook: Any) -> Any:
    return next((cell for cell in notebook.cells if "parameters" in _tags(cell)), None)


def _checked_parameters(notebook: Path, values: dict[str, Any]) -> dict[str, Any]:
    known = inspect_parameters(notebook)
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean `{near[0]}`?" if near else f"it has: {', '.join(known)}"
            raise InputError(f"{notebook}: no parameter `{name}`; {hint}")
        default = known[name]
        fits = type(value) is type(default) or (type(default) is float and type(value) is int)
        if default is not None and not fits:
            raise InputError(
                f"{notebook}: parameter `{name}`: found {value!r}, a value of type {type(value).__name__}; "
                f"expected {type(default).__name__}, like the default {default!r}"
            )
    return values


def _study_argument(study: Study) -> str:
    """What `load_study` in the kernel, started in the study's root, has to be given to find this study."""
    if study.file is None:
        raise InputError(f"study {study.name}: it has no file, so that a notebook can't load it; use `load_study`")
    root, file = study.root.resolve(), study.file.resolve()
    if file == root / "studies" / f"{study.name}.yaml" or file.is_relative_to(SHIPPED):
        return study.name
    if file.parent.name == "studies" and file.parent.parent != root:
        raise InputError(f"{file}: results go to {root}; copy the study file to {root / 'studies'} and use that one")
    return os.path.relpath(file, root)


def _files_shown(study: Study, written: Path) -> set[Path]:
    """The figures, and the tables of readings, that a chapter wrote: those that no other stage answers for."""
    from cxrlib.chapters.reading.tables import COLUMNS

    paths = {Path(line) for line in written.read_text(encoding="utf-8").splitlines()} if written.exists() else set()
    tables = {study.results.table(name).resolve() for name in COLUMNS}
    return {path for path in paths if path.parent == study.results.figure("").resolve().parent or path in tables}


def _execute(notebook: Path, output: Path, values: dict[str, Any], folder: Path, written: Path) -> None:
    import papermill

    with _kernel_of_this_interpreter(written):
        papermill.execute_notebook(
            str(notebook),
            str(output),
            parameters=values,
            kernel_name="python3",
            language="python",
            cwd=str(folder),
            progress_bar=False,
            store_widget_state=False,
        )


@contextmanager
def _kernel_of_this_interpreter(written: Path) -> Iterator[None]:
    """Make `python3` mean this interpreter, whatever kernels the user has installed; `written` lists what it writes.

    The kernel is told that nobody watches, and its plotting backend is set: `MPLBACKEND=Agg`, common on servers, makes
    figures vanish without an error.
    """
    kernel = {
        "argv": [sys.executable, "-c", KERNEL, "-f", "{connection_file}", "--log-level=ERROR"],
        "display_name": "Python 3",
        "language": "python",
        "env": {
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            HEADLESS: "1",
            WRITTEN: str(written),
        },
    }
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory(prefix="cxr-kernel-") as folder:
        write_text(Path(folder) / "kernels" / "python3" / "kernel.json", json.dumps(kernel))
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (folder, before)))
        try:
            yield
        finally:
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before


def _explained(error: Exception, name: str, failed: Path) -> Exception:
    """The error that a user should see: which cell, why, and where the notebook is kept."""
    from papermill.exceptions import PapermillExecutionError

    kept = f"the notebook as far as it came: {failed}" if failed.exists() else "nothing was written"
    if not isinstance(error, PapermillExecutionError):
        kind = InputError if isinstance(error, InputError) else RuntimeError
        return kind(f"chapter {name}: {error}; {kept}")
    kind = InputError if error.ename == "InputError" else RuntimeError
    line = next((text for text in error.source.splitlines() if text.strip()), "")
    return kind(f"chapter {name}: cell {error.cell_index}, `{line}`: {error.ename}: {error.evalue}; {kept}")


def _publishable(path: Path, name: str, study: Study, logs: Path) -> Any:
    """The executed notebook without the machine's paths, papermill's notes, widgets, what was sent to stderr, and cells
    tagged with a role that the study lacks."""
    notebook = _read_notebook(path)
    if "widgets" in notebook.metadata:
        raise InputError("the notebook holds widget state, and with it the images shown; it is not published")
    _keep_one_parameters_cell(notebook)
    notebook.metadata.pop("papermill", None)
    absent = set(EVERY_ROLE) - set(study.roles)
    notebook.cells = [cell for cell in notebook.cells if absent.isdisjoint(_tags(cell))]
    fold_made_up(notebook, study)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    complaints = []
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if cell.cell_type != "code":
            continue
        complaints += [output.text for output in cell.outputs if output.get("name") == "stderr"]
        cell.outputs = [output for output in cell.outputs if not _is_left_out(output, _tags(cell))]
        for output in cell.outputs:
            _hide_paths(output, study)
    log = logs / f"{name}.stderr.log"
    log.unlink(missing_ok=True)
    if complaints:
        write_text(log, "\n".join(complaints))
        logger.warning("chapter %s wrote to stderr; left out of the book and kept in %s", name, log)
    return notebook


def fold_made_up(notebook: Any, study: Study) -> None:
    """Fold the figures and tables of what readers said where programs alone have answered."""
    reading = study.results.review(study.review.protocol)
    if not study.review.simulated_readers or people_have_answered(reading):
        return
    for cell in notebook.cells:
        if OF_READERS in _tags(cell):
            cell.metadata["tags"] = [tag for tag in _tags(cell) if tag != "hide-input"] + ["hide-cell"]
            cell.metadata.setdefault("mystnb", {})["code_prompt_show"] = "What simulated readers said: made up"


def _keep_one_parameters_cell(notebook: Any) -> None:
    """One cell with the values that were used, instead of the defaults followed by papermill's own cell."""
    author = _parameters_cell(notebook)
    injected = next((cell for cell in notebook.cells if "injected-parameters" in _tags(cell)), None)
    if injected is None or author is None:
        return
    used = _literals(author.source) | _literals(injected.source)
    if used != _literals(author.source):
        author.source = "\n".join(f"{name} = {value!r}" for name, value in used.items())
    notebook.cells.remove(injected)


def _literals(source: str) -> dict[str, Any]:
    return {_name(statement): ast.literal_eval(statement.value) for statement in ast.parse(source).body}


def _is_left_out(output: Any, tags: list[str]) -> bool:
    """Anything on stderr; widgets, which without their state and a kernel are an empty promise; and results that the
    book does not show, such as a record with ids in it."""
    unseen = output.output_type == "execute_result" and "remove-output" in tags
    return unseen or output.get("name") == "stderr" or WIDGET_VIEW in output.get("data", {})


def _hide_paths(output: Any, study: Study) -> None:
    """Write paths relative to the study's root; other folders of this machine lose their beginning."""
    folders = {study.root: "", REPOSITORY: "", Path(sys.prefix): "", **dict.fromkeys(homes(), "~/")}
    for folder, short in sorted(folders.items(), key=lambda item: -len(str(item[0]))):
        if folder == Path(folder.anchor):
            continue
        pattern = re.compile(rf"(?<![\w.-]){re.escape(str(folder))}(/|(?![\w.-]))")
        if "text" in output:
            output.text = pattern.sub(lambda found, short=short: short if found[1] else ".", output.text)
        for kind, text in output.get("data", {}).items():
            if kind.startswith("text/") and isinstance(text, str):
                output.data[kind] = pattern.sub(lambda found, short=short: short if found[1] else ".", text)
