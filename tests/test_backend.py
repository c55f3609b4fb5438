"""Keras is loaded without what it does not need here, and a process that trains keeps the memory of its arrays."""

import ctypes
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hitsong.backend import UNUSED, keep_memory

# The imports of 07_serve.py; then packages that were hidden from Keras alone.
SERVING = """
import gc, sys
import hitsong.predict.choose, hitsong.service.app
from hitsong.backend import UNUSED, keras
from hitsong.models import layers, losses, normalise
print(sorted(sys.modules.keys() & {*UNUSED}), gc.isenabled())
import matplotlib, numpy, pandas, scipy.sparse, sklearn
print(keras.Sequential([keras.layers.Dense(1)])(numpy.zeros((1, 2))).shape)
"""


def test_the_service_loads_no_package_that_it_does_not_use():
    root = Path(__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-c", SERVING], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.stdout == "[] True\n(1, 1)\n", result.stderr
    assert {"matplotlib", "pandas", "scipy", "sklearn"} <= {*UNUSED}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")
def test_large_arrays_reuse_their_pages():
    keep_memory()
    libc, size = ctypes.CDLL(None), 256 << 20
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

    def faults():
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        array = libc.malloc(size)
        libc.memset(array, 1, size)
        libc.free(array)
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

    faults()
    assert faults() < size // resource.getpagesize() // 100
