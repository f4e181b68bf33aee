# SPDX-License-Identifier: BSD-3-Clause
"""pylib - libpgmap for tests in Python, by ctypes, as a program in that language would use it. LIBPGMAP is the library."""
import ctypes
import os

CREATE, READ, RW = 1, 1, 3
PAGE = 4096

_lib = ctypes.CDLL(os.environ['LIBPGMAP'])
_lib.pgmap_mapping_address.restype = ctypes.c_void_p
_lib.pgmap_mapping_address.argtypes = [ctypes.c_void_p]
_lib.pgmap_mapping_bytes.restype = ctypes.c_uint64
_lib.pgmap_mapping_bytes.argtypes = [ctypes.c_void_p]
_lib.pgmap_connect.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
_lib.pgmap_open_map.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint64, ctypes.c_uint, ctypes.c_void_p]
for _name in ('pgmap_unmap', 'pgmap_disconnect'):
    getattr(_lib, _name).argtypes = [ctypes.c_void_p]
_lib.pgmap_unlink.argtypes = [ctypes.c_void_p, ctypes.c_char_p]


def check(err, what):
    if err:
        raise OSError(-err, f'{what}: {os.strerror(-err)}')


class Mapping:
    """All of a file, as a memoryview (bytes), until unmap()."""
    def __init__(self, client, path, size, prot):
        self.handle = ctypes.c_void_p()
        check(_lib.pgmap_open_map(client, path.encode(), CREATE if size else 0, size, prot, ctypes.byref(self.handle)), path)
        self.size = size or _lib.pgmap_mapping_bytes(self.handle)
        self.bytes = memoryview((ctypes.c_char * self.size).from_address(_lib.pgmap_mapping_address(self.handle))).cast('B')

    def unmap(self):
        return _lib.pgmap_unmap(self.handle)


class Client:
    def __init__(self, target):
        self.handle = ctypes.c_void_p()
        check(_lib.pgmap_connect(target.encode(), ctypes.byref(self.handle)), target)

    def map(self, path, size=0, prot=RW):
        return Mapping(self.handle, path, size, prot)

    def unlink(self, path):
        check(_lib.pgmap_unlink(self.handle, path.encode()), path)

    def disconnect(self):
        check(_lib.pgmap_disconnect(self.handle), 'disconnect')
