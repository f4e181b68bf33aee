# SPDX-License-Identifier: BSD-3-Clause
"""hello.py [SOCKET]: a file in a server's pool, or in a pool of this program's own, mapped with no copy."""
import ctypes, ctypes.util, os, sys

lib = ctypes.CDLL(os.environ.get('PGMAP_LIB') or ctypes.util.find_library('pgmap') or 'libpgmap.so.0')
lib.pgmap_mapping_address.restype = ctypes.c_void_p
CREATE, READ, WRITE, LOCAL = 1, 1, 2, 0


def call(name, *args):
    """0, or a negative errno that becomes an exception."""
    err = getattr(lib, 'pgmap_' + name)(*args)
    if err < 0:
        raise OSError(-err, f'{name}: {os.strerror(-err)}')


target = sys.argv[1] if len(sys.argv) > 1 else 'embedded:memfd:size=64M,page=4K'
pool, mapping = ctypes.c_void_p(), ctypes.c_void_p()
size = ctypes.c_uint64(4 << 20)
call('connect', target.encode(), ctypes.byref(pool))
call('open_map', pool, b'/hello.py', CREATE, size, READ | WRITE, ctypes.byref(mapping))
pages = (ctypes.c_char * size.value).from_address(lib.pgmap_mapping_address(mapping))
call('pin', mapping, ctypes.c_uint64(0), size, LOCAL)  # the pages stay where they are: the kernel may read into them
with open('/dev/urandom', 'rb', buffering=0) as source:
    print(f'{source.readinto(pages)} bytes read straight into the pool')
call('unpin', mapping, ctypes.c_uint64(0), size, LOCAL)
call('unmap', mapping)
call('disconnect', pool)
