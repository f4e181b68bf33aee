# SPDX-License-Identifier: BSD-3-Clause
"""image - what a virtual machine boots: Debian's kernel, and an initramfs of busybox, modules, tools and our programs.

The kernel's package is fetched by apt-get and unpacked, never installed: no boot loader, no hook of dpkg runs. What
is made from packages alone is kept in $XDG_CACHE_HOME/pgmap-vm, under a name that has the kernel's version or a hash of all
that went in, so that a package of another version makes another image; each appears whole or not at all, by rename().
Our programs come on top, anew each time: the kernel takes archives that follow one another.

`python3 image.py fetch` gets the kernel; `python3 image.py have` says by its exit code whether there is one.
"""
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
META = 'linux-image-amd64'

# With what they need, in the order in which they are loaded. All machines get all of them.
MODULES = ['crc32c_generic', 'libnvdimm', 'nd_e820', 'nd_pmem', 'dax_pmem', 'device_dax', 'nfit', 'dax_hmem', 'kmem', 'ext4', 'pci_stub', 'mce_inject']
TOOLS = ['ndctl', 'daxctl', 'mkfs.ext4', 'setpriv']
FOLDERS = ['dev', 'proc', 'sys', 'tmp', 'run', 'root', 'mnt', 'etc', 'usr/bin', 'usr/sbin', 'vm/bin']


class ImageError(Exception):
    """Why there is no image, in one line."""


def cache_folder():
    base = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    path = os.path.join(base, 'pgmap-vm')
    os.makedirs(path, exist_ok=True)
    return path


def output(*command, cwd=None):
    try:
        done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                              text=True, errors='replace', check=False)
    except OSError as error:
        raise ImageError(f'{command[0]}: {error.strerror}') from error
    if done.returncode:
        raise ImageError(f'{" ".join(command[:3])}: {(done.stderr.strip() or "failed").splitlines()[-1]}')
    return done.stdout


def candidate():
    """(package, version) of the kernel that apt would install; None where apt knows of none."""
    try:
        meta = re.search(r'(linux-image-\S+-amd64)', output('apt-cache', 'depends', '--no-recommends', '--no-suggests', META).split('\n', 1)[1])
        version = meta and re.search(r'^Version: (\S+)', output('apt-cache', 'show', '--no-all-versions', meta[1]), re.M)
    except (ImageError, IndexError):
        return None
    return (meta[1], version[1]) if version else None


def kernels():
    """The folders of kernels that are here, the newest last."""
    cache = cache_folder()
    there = [os.path.join(cache, name) for name in os.listdir(cache) if name.startswith('kernel-')]
    return sorted(there, key=os.path.getmtime)


def fetch():
    """Have the kernel that apt would install; its folder. Where it cannot be had, say without a network, the last one will do."""
    found = candidate()
    try:
        if not found:
            raise ImageError(f'apt knows no package {META}: apt-get update')
        return fetch_package(*found)
    except ImageError:
        if not kernels():
            raise
        return kernels()[-1]


def fetch_package(package, version):
    folder = os.path.join(cache_folder(), f'kernel-{package}_{version}')
    if os.path.isdir(folder):
        return folder
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix='new-') as new:
        os.chmod(new, 0o755)  # apt's own user writes there
        output('apt-get', '-q', '-o', 'APT::Sandbox::User=root', 'download', f'{package}={version}', cwd=new)
        deb = [name for name in os.listdir(new) if name.endswith('.deb')]
        if len(deb) != 1:
            raise ImageError(f'apt-get download {package}: no package came')
        output('dpkg-deb', '-x', os.path.join(new, deb[0]), os.path.join(new, 'root'))
        appear(os.path.join(new, 'root'), folder)
    return folder


def appear(new, path):
    """new becomes path; if somebody else was quicker, theirs is as good."""
    try:
        os.rename(new, path)
    except OSError:
        if not os.path.exists(path):
            raise


def kernel_file(folder):
    return only([os.path.join(folder, 'boot', name) for name in os.listdir(f'{folder}/boot') if name.startswith('vmlinuz-')], folder)


def only(found, what):
    if len(found) != 1:
        raise ImageError(f'{what}: not one, but {len(found)}')
    return found[0]


def modules(folder):
    """Paths of the modules, each after what it depends on, as its own .modinfo says."""
    there, order = {}, []
    for top, _, names in os.walk(f'{folder}/lib/modules'):
        there.update({name[:-3].replace('-', '_'): os.path.join(top, name) for name in names if name.endswith('.ko')})

    def add(name):
        if name not in there:
            raise ImageError(f'{folder}: no module {name}')
        if there[name] in order:
            return
        with open(there[name], 'rb') as file:
            depends = re.search(rb'\0depends=([\w,-]*)\0', file.read())
        for other in (depends[1].decode().split(',') if depends else []):
            if other:
                add(other.replace('-', '_'))
        order.append(there[name])
    for name in MODULES:
        add(name)
    return order


def tool(name):
    path = shutil.which(name, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')
    if not path:
        raise ImageError(f'no {name} here: scripts/deps vm')
    return os.path.realpath(path)


def libraries(programs):
    """What the loader would load for them, itself included: {path in the guest: path here}."""
    found = {}
    for program in programs:
        # A static program has none, and ldd says so by failing.
        done = subprocess.run(['ldd', program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        if 'not found' in done.stdout:
            raise ImageError(f'{program}: {done.stdout.split("not found")[0].splitlines()[-1].strip()} not found')
        for path in re.findall(r'(/\S+)(?= \(0x)', done.stdout):
            found[path.lstrip('/')] = os.path.realpath(path)
    return found


class Archive:
    """A cpio archive ("newc") in memory."""

    def __init__(self):
        self.parts = []
        self.folders = set()
        self.inode = 0

    def entry(self, name, mode, data=b''):
        self.inode += 1
        name = name.encode() + b'\0'
        numbers = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
        head = b'070701' + b''.join(b'%08x' % number for number in numbers) + name
        self.parts += [head, b'\0' * (-len(head) % 4), data, b'\0' * (-len(data) % 4)]

    def folder(self, name):
        if name and name not in self.folders:
            self.folder(os.path.dirname(name))
            self.folders.add(name)
            self.entry(name, stat.S_IFDIR | 0o755)

    def add(self, name, data, mode=0o755):
        self.folder(os.path.dirname(name))
        self.entry(name, stat.S_IFREG | mode, data)

    def copy(self, name, path, mode=0o755):
        with open(path, 'rb') as file:
            self.add(name, file.read(), mode)

    def link(self, name, to):
        self.folder(os.path.dirname(name))
        self.entry(name, stat.S_IFLNK | 0o777, to.encode())

    def bytes(self):
        self.entry('TRAILER!!!', 0)
        whole = b''.join(self.parts)
        return whole + b'\0' * (-len(whole) % 512)


def base(folder):
    """The path of the archive with all that comes from packages."""
    loaded = modules(folder)
    tools = {name: tool(name) for name in TOOLS}
    files = {f'usr/sbin/{name}': path for name, path in tools.items()}
    files['bin/busybox'] = tool('busybox')
    files.update(libraries(files.values()))
    if os.path.exists('/etc/mke2fs.conf'):
        files['etc/mke2fs.conf'] = '/etc/mke2fs.conf'
    files.update({f'vm/modules/{os.path.basename(path)}': path for path in loaded})
    facts = [(name, path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for name, path in sorted(files.items())]
    with open(__file__, 'rb') as own:
        key = hashlib.sha256(repr((facts, [os.path.basename(path) for path in loaded])).encode() + own.read()).hexdigest()[:16]
    path = os.path.join(cache_folder(), f'base-{key}.cpio')
    if os.path.exists(path):
        return path
    archive = Archive()
    for name in FOLDERS:
        archive.folder(name)
    for name, source in files.items():
        archive.copy(name, source)
    archive.link('bin/sh', 'busybox')
    archive.add('vm/load', ''.join(f'insmod /vm/modules/{os.path.basename(path)}\n' for path in loaded).encode())
    archive.add('etc/passwd', b'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n', 0o644)
    archive.add('etc/group', b'root:x:0:\nnogroup:x:65534:\n', 0o644)
    with tempfile.NamedTemporaryFile(dir=cache_folder(), prefix='new-', delete=False) as new:
        new.write(archive.bytes())
    appear(new.name, path)
    return path


def stripped(program, folder):
    """The program without what a debugger would want: it is memory in the guest."""
    path = os.path.join(folder, os.path.basename(program))
    output('strip', '-o', path, program)
    return path


def initramfs(path, folder, programs, texts):
    """Write the whole of it to path: base, then these programs as /vm/bin/NAME and these texts {name: bytes} as /vm/NAME."""
    with open(base(folder), 'rb') as below, open(path, 'wb') as out, tempfile.TemporaryDirectory() as slim:
        archive = Archive()
        for name, library in libraries(programs).items():
            archive.copy(name, library)
        for program in programs:
            archive.copy(f'vm/bin/{os.path.basename(program)}', stripped(program, slim))
        archive.copy('init', f'{HERE}/guest/init')
        archive.copy('vm/lib.sh', f'{HERE}/guest/lib.sh')
        for name, text in texts.items():
            archive.add(f'vm/{name}', text)
        shutil.copyfileobj(below, out)
        out.write(archive.bytes())


def main():
    what = sys.argv[1:]
    try:
        if what == ['have']:
            return 0 if kernels() else 1
        if what == ['fetch']:
            print(fetch())
            return 0
    except (ImageError, OSError) as error:
        print(f'vm: {error}', file=sys.stderr)
        return 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == '__main__':
    sys.exit(main())
