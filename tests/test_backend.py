"""A process that trains keeps the memory of its arrays from step to step."""

import ctypes
import platform
import resource

import pytest

from hitsong.backend import keep_memory


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
