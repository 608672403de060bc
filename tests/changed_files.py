"""Files of fitted estimators that are changed, for tests of what is refused."""

import json

from safetensors import safe_open
from safetensors.torch import save_file

from skmpcc.fitted import saving


def changed(saved, path, change):
    """Write `saved` after `change` of header and tensors, with a checksum that is right."""
    with safe_open(saved, framework="pt") as file:
        header = json.loads(file.metadata()["skmpcc"])
        del header["sha256"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header, tensors)
    header["sha256"] = saving._digest(header, tensors)
    save_file(tensors, path, {"skmpcc": json.dumps(header)})
    return path


def setting(*keys_and_value):
    """A change of one entry of the header."""

    def change(header, tensors):
        *keys, last, value = keys_and_value
        for key in keys:
            header = header[key]
        header[last] = value

    return change


def tensor(name, change):
    """A change of one tensor; None takes it away."""

    def change_tensor(header, tensors):
        value = change(tensors.pop(name))
        if value is not None:
            tensors[name] = value.contiguous()

    return change_tensor
