"""Build the compiled part of TorchRL for the torch that is installed: prioritized samplers need it.

TorchRL's wheels are built for one version of torch each, and bring their sources along. This compiles them, in a
minute or two, and puts the result in the place of what came with the wheel. It takes a C++ compiler and ninja.
"""

import importlib.util
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from torch.utils import cpp_extension

if __name__ == "__main__":
    spec = importlib.util.find_spec("torchrl")
    if spec is None or spec.origin is None:
        sys.exit("TorchRL is not installed")
    package = Path(spec.origin).parent
    with tempfile.TemporaryDirectory() as folder:
        cpp_extension.load(
            "_torchrl",
            [str(package / "csrc" / name) for name in ("pybind.cpp", "utils.cpp")],
            extra_include_paths=[str(package.parent)],
            extra_cflags=["-O1", "-std=c++20"],
            build_directory=folder,
            is_python_module=False,
        )
        built = Path(folder, "_torchrl.so")
        shutil.copy(built, package / f"_torchrl{sysconfig.get_config_var('EXT_SUFFIX')}")
