"""Training state on disk: nested dictionaries of tensors and plain values, in one safetensors file."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from cxrlib.errors import InputError
from cxrlib.files import atomic_path
from cxrlib.records import differences_between


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write nested dictionaries and lists of tensors, numbers, strings and None, atomically and without pickle."""
    tensors: dict[str, torch.Tensor] = {}
    skeleton = _pack(state, tensors)
    save_tensors(path, tensors, metadata={"skeleton": json.dumps(skeleton)})


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors, atomically; raises `InputError` if the disk is full or can't be written."""
    with atomic_path(path) as temporary:
        try:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, metadata=metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def load_weights(network: torch.nn.Module, path: Path, remedy: str) -> None:
    """Fill a network from a safetensors file; `InputError`, with the `remedy`, if it is missing or another one."""
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{path}: these weights can't be read or don't fit ({reason}); {remedy}") from None


def load_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read what `save_state` wrote; raises `InputError` if the file is damaged."""
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            skeleton = json.loads((file.metadata() or {})["skeleton"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a readable checkpoint ({error}); remove it to start afresh") from None
    return _unpack(skeleton, tensors)


REMEDY = "Use --force to start afresh, or go on with what it was made with; it is left as it is."


def load_own_state(path: Path, fingerprint: Any, device: torch.device | str = "cpu") -> dict[str, Any]:
    """`load_state` of a run whose results `fingerprint` (values of JSON) decides; raises `InputError`, saying what
    differs, if the state's own `fingerprint` is another: hours of work are neither gone on with nor discarded."""
    stored = load_state(path, device)
    differences = list(differences_between(stored.get("fingerprint"), fingerprint))
    if differences:
        listed = "\n  ".join(differences)
        raise InputError(f"{path}: a checkpoint of other settings or films:\n  {listed}\n{REMEDY}")
    return stored


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Replace tensors by references; keep integer keys apart from strings (optimisers number their parameters)."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        # A file can't hold two names of one memory; anything else is written from where it lies.
        held = value.untyped_storage()
        alone = value.is_contiguous() and held.nbytes() == value.nbytes and not _is_held(held.data_ptr(), tensors)
        tensors[name] = value.detach() if alone else value.detach().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"items": [[key, _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_pack(item, tensors) for item in value]}
    return {"value": value}


def _is_held(address: int, tensors: dict[str, torch.Tensor]) -> bool:
    return address != 0 and any(other.untyped_storage().data_ptr() == address for other in tensors.values())


def _unpack(skeleton: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if "tensor" in skeleton:
        return tensors[skeleton["tensor"]]
    if "items" in skeleton:
        return {key: _unpack(item, tensors) for key, item in skeleton["items"]}
    if "list" in skeleton:
        return [_unpack(item, tensors) for item in skeleton["list"]]
    return skeleton["value"]
