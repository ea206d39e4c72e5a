"""The parts that can be left out, and what a user is told who lacks one."""

# What only a wing imports, by the name of the wing's extra.
WINGS: dict[str, tuple[str, ...]] = {
    "dicom": ("cxrlib.intake", "pydicom", "gdcm"),
    "reading": ("cxrlib.reading", "anywidget", "ipywidgets", "jupyterlab", "tornado"),
    "publish": (
        "cxrlib.publishing", "IPython", "jupyter_book", "latex2mathml", "matplotlib", "myst_nb", "nbformat",
        "papermill", "seaborn",
    ),
}  # fmt: skip


def missing_wing(error: ModuleNotFoundError) -> str | None:
    """What to tell a user whose command needs a wing that is not installed; None where something else is missing."""
    name = error.name or ""
    for wing, modules in WINGS.items():
        if any(name == module or name.startswith(f"{module}.") for module in modules):
            return (
                f"this needs `{name}`, which is not installed; it comes with the extra `{wing}`: "
                f"pip install 'cxrlib[{wing}]'"
            )
    return None
