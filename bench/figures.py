# SPDX-License-Identifier: BSD-3-Clause
"""What is measured: each figure with its subjects, its unit and its target. bench/run measures, scripts/figures pastes.

A subject is the command line of a program of bench/, less the prefix of its name. The pool that a figure needs is the
spec of a server's device; {mib}, {page_kib} and the like are filled in by bench/run (small where it only tries itself).
"""
from dataclasses import dataclass, field
from typing import Callable, Optional


@dataclass
class Target:
    """A condition on the ratios: text for the table, and whether (ours, ratio_limit, ratio_peer) meets it."""
    text: str
    met: Callable


@dataclass
class Figure:
    name: str
    ours: str
    unit: str = 'ns'
    limit: Optional[str] = None
    peers: dict = field(default_factory=dict)  # name: subject
    target: Optional[Target] = None
    peer_targets: dict = field(default_factory=dict)  # name: what holds against this peer instead
    pool: Optional[str] = None
    two_cpus: bool = False
    warm: bool = False  # each round comes after one that does not count: what another left in the caches is no part of it
    scale: bool = False  # ours: how many times faster than `limit` two threads are; the limit is 2
    fixed_peer: Optional[tuple] = None  # (name, value): published, not measured here
    rounds: Optional[int] = None  # no more than that: a round takes long
    report: Optional[str] = None  # a key of what its programs print, once each, instead of a number a round
    guest: Optional[str] = None  # a case of devices.sh, which measures ours and the limit in a virtual machine
    may_lack: bool = False  # its device, or memory like it, cannot be had everywhere: then the table says why


def of_limit(most):
    return Target(f'<= {most} x limit', lambda ours, limit, peer: limit <= most)


def faster_too(most):
    return Target(f'<= {most} x limit, faster than peer', lambda ours, limit, peer: limit <= most and peer < 1)


def of_rate(least):
    return Target(f'>= {least} x limit', lambda ours, limit, peer: limit >= least)


def at_most(most, text):
    return Target(f'<= {text}', lambda ours, limit, peer: ours <= most)


def at_least(least):
    return Target(f'>= {least}', lambda ours, limit, peer: ours >= least)


def human(value, unit):
    """A value with a unit that suits it."""
    if value is None:
        return '-'
    steps = {'ns': [(1e9, 's'), (1e6, 'ms'), (1e3, 'us'), (1, 'ns')],
             'B': [(1 << 30, 'GiB'), (1 << 20, 'MiB'), (1 << 10, 'KiB'), (1, 'B')]}.get(unit, [(1, unit)])
    scale, name = next((step for step in steps if value >= step[0]), steps[-1])
    return (f'{value / scale:.3g} {name}' if value / scale < 1000 else f'{value / scale:.0f} {name}').strip()


def matrix(entries):
    """Figures with the same peers as rows, one column for ours and one for each peer."""
    peers = list(dict.fromkeys(entry['peer_name'] for entry in entries))
    rows = [['fair fight', 'pgmap', *peers, 'target', 'met']]
    for name in dict.fromkeys(entry['name'] for entry in entries):
        mine = {entry['peer_name']: entry for entry in entries if entry['name'] == name}
        first = next(iter(mine.values()))
        verdicts = [entry['met'] for entry in mine.values()]
        met = next((verdict for verdict in verdicts if isinstance(verdict, str)), None)
        if met is None:
            met = '-' if None in verdicts else 'met' if all(verdicts) else 'NOT MET'
        rows.append([name, human(first['ours'], first['unit']),
                     *(human(mine[peer]['peer'], first['unit']) if peer in mine else '-' for peer in peers),
                     first['target'] or '-', met])
    return rows


@dataclass
class Device:
    """A kind of memory that client.* is measured on."""
    suffix: str  # of the figures' names
    spec: str  # the server's
    page_kib: str
    mib: str = '{mib}'  # of the file that is mapped
    may_lack: bool = True
    aim: bool = True  # False: the system writes to the disk meanwhile, and what is measured is not ours alone


KIB, MIB = 1 << 10, 1 << 20
BIG = 'memfd:size={pool_mib}M,page={page}'
SMALL_PAGES = 'memfd:size={kill_mib}M,page=4K'
# The first one is what the targets are for: 2 MiB pages, or 4 KiB ones where the system has none to give.
DEVICES = [
    Device('', BIG, '{page_kib}', may_lack=False),
    Device('.4k', 'memfd:size={pool_mib}M,page=4K', '4', may_lack=False),
    Device('.1g', 'memfd:size=1G,page=1G', '1048576', mib='1024'),
    Device('.hugetlb', 'hugetlb:size={pool_mib}M,page=2M', '2048'),
    Device('.tmpfs', 'file:{tmpfs_file},size={pool_mib}M,create', '4'),
    Device('.disk', 'file:{disk_file},size={pool_mib}M,create', '4', aim=False),
]


def request_figures():
    yield Figure('core.get_put', 'core get_put', limit='limits pair', peers={'urcu_ref': 'peer_urcu get_put'},
                 target=of_limit(1.2))
    allocators = {'mimalloc': 'peer_mimalloc window', 'jemalloc': 'peer_jemalloc window'}
    yield Figure('core.request_put', 'core window 0 1024', limit='limits two_pairs 1024',
                 peers={**{name: f'{subject} 4096' for name, subject in allocators.items()},
                        'rte_mempool': 'peer_rte window 4096', 'memkind': 'peer_memkind window 4096 private',
                        'memkind over a file': 'peer_memkind window 4096 file',
                        'libpmemobj': 'peer_pmemobj window 4096'},
                 target=of_limit(1.0), peer_targets={'memkind over a file': faster_too(1.0), 'libpmemobj': faster_too(1.0)})
    yield Figure('core.request_put_2m', 'core window 9 1024', limit='limits two_pairs 1024',
                 peers={name: f'{subject} 2097152' for name, subject in allocators.items()}, target=of_limit(1.0))
    yield Figure('core.request_put_2m.opened', 'core opened 9', limit='limits two_pairs 1024')
    yield Figure('core.request_put_1g', 'core window 18 1024', limit='limits two_pairs 1024', target=of_limit(1.0))
    yield Figure('core.request_put_1g.opened', 'core opened 18', limit='limits two_pairs 1024')
    yield Figure('core.scale_2t', 'core scale 2 interleaved', unit='x', limit='core scale 1 interleaved', two_cpus=True,
                 scale=True, target=at_least(1.8))
    yield Figure('core.scale_2t.disjoint', 'core scale 2 disjoint', unit='x', limit='core scale 1 disjoint', two_cpus=True,
                 scale=True, target=at_least(1.9))


def space_figures():
    for name, gib, kernel_s in (('1t', 1024, 1.3), ('16t', 16384, 20.8)):
        yield Figure(f'core.create_{name}', f'core_space create {gib}', limit=f'limits reserve {gib}', target=of_limit(10),
                     fixed_peer=('kernel memmap (published)', kernel_s * 1e9))
        yield Figure(f'core.create_{name}.resident', f'core_space resident {gib}', unit='B',
                     target=at_most(256 * KIB, '256 KiB'), fixed_peer=('kernel memmap (published)', gib * 16 * MIB))
    for name, order in (('', 0), ('_2m', 9), ('_1g', 18)):
        page = ('struct page', 64 << order)
        base = f'core.bytes_per_folio{name}'
        yield Figure(base, f'core_space bytes {order} dense', unit='B', fixed_peer=page, target=at_most(10, '10 B'))
        yield Figure(f'{base}.private', f'core_space bytes {order} dense private', unit='B', fixed_peer=page)
        yield Figure(f'{base}.sparse', f'core_space bytes {order} sparse', unit='B', fixed_peer=page)
    yield Figure('core.drain', 'core_space drain', target=at_most(1e6, '1 ms'))
    yield Figure('core.drain.list', 'core_space list 1000', target=at_most(1e6, '1 ms'))


def translation_figures():
    """Levels of stacks, each of 4 parts, above memory, against an array that knows it all: 5 ns more for each device on the way."""
    def per_level(levels):
        return Target(f'< limit + {levels + 1} x 5 ns', lambda ours, limit, peer: ours - ours / limit < 5 * (levels + 1))
    for kind in ('linear', 'stripe'):
        for levels in (1, 3):
            yield Figure(f'dax.translate.{kind}{levels}', f'dax translate {kind} {levels}', limit='dax array', target=per_level(levels))


def opening_figures():
    """A device of each kind, had and let go. What is no memory of the system's own is one of a virtual machine, whose processor
    is emulated; a real one is measured where it is named."""
    yield Figure('dev.open_close.memfd', 'device open_close memfd:size=64M,page=4K', limit='device memory 64 4')
    yield Figure('dev.open_close.memfd2m', 'device open_close memfd:size=64M,page=2M', limit='device memory 64 2048', may_lack=True)
    yield Figure('dev.open_close.hugetlb', 'device open_close hugetlb:size=64M,page=2M', limit='device memory 64 2048', may_lack=True)
    yield Figure('dev.open_close.file', 'device open_close file:{tmpfs_file},size=64M,create', limit='device file {tmpfs_file}')
    for kind in ('devdax', 'pmem', 'pci'):
        yield Figure(f'dev.open_close.{kind}', f'device open_close {{{kind.upper()}}}', may_lack=True)
        yield Figure(f'dev.open_close.{kind}.emulated', '', limit='', guest=kind)


def device_figures(device):
    """What a client does with a file, on each device."""
    mib, page, on = device.mib, device.page_kib, {'pool': device.spec, 'may_lack': device.may_lack}
    first = not device.suffix

    def aim(target):
        return target if device.aim else None

    yield Figure(f'client.map{device.suffix}', f'client map {mib}', limit=f'limits map {mib} {page}',
                 peers={'memfd by hand': f'limits file_map {mib} {page}'}, target=aim(of_limit(1.5)), **on)
    # Only where the pages are bigger than tmpfs's is there a reason why it should be slower.
    faster = Target('<= 1.03 x limit, faster than tmpfs', lambda ours, limit, peer: limit <= 1.03 and peer < 1)
    yield Figure(f'client.random_read{device.suffix}', f'client read {mib}', limit=f'client read_by_hand {mib}',
                 peers={'tmpfs': f'limits read {mib} 4'}, target=aim(faster if page != '4' else of_limit(1.03)), warm=True, **on)
    if first:
        # The limit against itself: how far apart two processes that do the very same are in this run.
        yield Figure('client.random_read.control', f'client read_by_hand {mib}', limit=f'client read_by_hand {mib}', warm=True,
                     **on)
    yield Figure(f'client.copy{device.suffix}', 'copy pool {mib_256} {page_kib}', unit='GB/s', warm=True,
                 limit=f'copy memory {{mib_256}} {{page_kib}} {page}', peers={'write to tmpfs': 'copy write {mib_256} {page_kib}'},
                 target=aim(of_rate(0.97)), **on)
    if first:
        yield Figure('client.copy.control', 'copy memory {mib_256} {page_kib} {page_kib}', unit='GB/s', warm=True,
                     limit='copy memory {mib_256} {page_kib} {page_kib}', **on)


def client_figures():
    yield Figure('client.pin_unpin', 'client pin', limit='limits pair', peers={'round trip': 'limits round_trip'},
                 target=of_limit(1.5), pool=BIG)
    yield Figure('client.map.two_cpus', 'client map {mib}', limit='limits map {mib} {page_kib}', two_cpus=True, pool=BIG)
    for device in DEVICES:
        yield from device_figures(device)


def stack_figures():
    """Two devices that take turns, 2 MiB each, against one of them: the copy into a mapped file that lies on all of both."""
    half, one = (f'memfd:size={{{size}_mib}}M,page={{page}}' for size in ('half', 'both'))
    yield Figure('client.copy.stripe', 'copy pool {mib_256} {page_kib}', unit='GB/s', warm=True, target=of_rate(0.97),
                 limit=f'copy one {{mib_256}} {{page_kib}} embedded:{one}', pool=f'{half}|{half}|stripe:2M')


def command_figures():
    as_cp = Target('as fast as cp', lambda ours, limit, peer: peer >= 1)
    for name, cpus in (('', False), ('.two_cpus', True)):
        for way in ('put', 'get'):
            yield Figure(f'tools.{way}{name}', f'transfer {way} {{mib}} {{pgmap}}', unit='GB/s', pool=BIG, two_cpus=cpus, rounds=7,
                         peers={'cp, tmpfs to tmpfs': 'transfer cp {mib}'}, target=as_cp)


def file_figures():
    tmpfs, huge = {'tmpfs': 'files tmpfs'}, {'huge pages by hand': 'files huge'}
    twice = Target('>= 2 x tmpfs', lambda ours, limit, peer: peer <= 0.5)
    near = Target('>= 0.7 x tmpfs', lambda ours, limit, peer: peer <= 1 / 0.7)
    for suffix, spec, page, peers in (('', BIG, '{page_kib}', {**tmpfs, **huge}), ('.4k', 'memfd:size={pool_mib}M,page=4K', '4', tmpfs)):
        ours = {'peers': peers, 'peer_targets': {name: None for name in huge}, 'may_lack': True}
        # The limits: a map, a touch and an unmap of memory that is there; through the server also two round trips.
        yield Figure(f'fs.create_unlink{suffix}', f'files embedded embedded:{spec}', limit=f'limits use 2 {page}', target=twice, **ours)
        yield Figure(f'fs.create_unlink.server{suffix}', 'files server', limit=f'limits far_use 2 {page}', pool=spec, target=near, **ours)
        # Without a pause: each file waits until the bytes of the one before it are wiped.
        yield Figure(f'fs.create_unlink.ceaseless{suffix}', f'files embedded_ceaseless embedded:{spec}', **ours)
    yield Figure('fs.aging', 'aging aged 384', unit='share', limit='aging fresh 384', target=of_rate(0.95), may_lack=True,
                 peers={'ext4': 'aging other 384 ext4', 'xfs': 'aging other 384 xfs'})


def holder_figures():
    yield Figure('holder.kill9', 'kill9 kill {folios}', target=at_most(5e6, '5 ms'), pool=SMALL_PAGES)
    yield Figure('holder.who', 'who command {holders} {files} {pgmap}', target=at_most(50e6, '50 ms'), pool=SMALL_PAGES,
                 peers={'/proc/*/maps': 'who proc'})
    yield Figure('holder.who.call', 'who call {holders} {files}', pool=SMALL_PAGES)


def hostile_figures():
    """What others do to a client's map. Each on the CPU that the server is not on, where there is one. spins: nothing of the
    pool's, so this is what the CPUs alone make of it."""
    twice = Target('<= 2 x idle', lambda ours, limit, peer: peer <= 2)
    for kind in ('spins', 'flood', 'never_reads', 'connects'):
        yield Figure(f'server.map_p99@{kind}', f'hostile map_p99 {kind}', peers={'idle': 'hostile map_p99 idle'}, target=twice if kind != 'spins' else None,
                     pool=SMALL_PAGES, two_cpus=True)


def growth_figures():
    for size in (1, 10**3, 10**4, 10**5, 10**6, 10**7):
        yield Figure(f'core.request_put@{size}', f'core window 0 {size}', limit=f'limits two_pairs {size}')
    for gib in (1, 64, 1024, 16384):
        yield Figure(f'core.request_put@{gib}GiB', f'core spread {gib}', limit='limits two_pairs 1024')
    for size in (1, 10**3, 10**5, 10**7):
        each = max(size // 2, 1)
        yield Figure(f'core.scale_2t@{size}', f'core scale 2 interleaved {each}', unit='x',
                     limit=f'core scale 1 interleaved {each}', two_cpus=True, scale=True)
    for size in (100, 1000, 10000):
        yield Figure(f'core.request_put_2m@{size}', f'core window 9 {size}', limit=f'limits two_pairs {size}')
    for gib in (1, 64, 1024, 16384):
        yield Figure(f'core.create@{gib}GiB', f'core_space create {gib}', limit=f'limits reserve {gib}')
    for held in (10, 100, 1000, 10000):
        yield Figure(f'core.drain.list@{held}', f'core_space list {held}')
    for mib in (64, 256, 1024):
        yield Figure(f'client.map@{mib}MiB', f'client map {{mib_{mib}}}', limit=f'limits map {{mib_{mib}}} {{page_kib}}', pool=BIG)
    for mib in (64, 256, 1024):
        yield Figure(f'client.random_read@{mib}MiB', f'client read {{mib_{mib}}}', limit=f'client read_by_hand {{mib_{mib}}}',
                     pool=BIG, warm=True)
    for mib in (64, 256):
        yield Figure(f'tools.put@{mib}MiB', f'transfer put {{mib_{mib}}} {{pgmap}}', unit='GB/s', pool=BIG, rounds=7,
                     peers={'cp, tmpfs to tmpfs': f'transfer cp {{mib_{mib}}}'})
    for folios in (10**3, 10**4, 10**5):
        yield Figure(f'holder.kill9@{folios}', f'kill9 kill {folios}', pool=SMALL_PAGES)
    for holders in (10, 100, 1000):
        yield Figure(f'holder.who@{holders}', f'who command {{holders_{holders}}} {{files}} {{pgmap}}', pool=SMALL_PAGES)


FAIR_POOL = 'memfd:size=16M,page=4K'  # bench/fair.h: 64 blocks of 256 KiB
LEASES = {'lease 0.1 s': 100, 'lease 0.5 s': 500, 'lease 1 s': 1000, 'lease 5 s': 5000}


def fair_figures():
    """The same workload on the pool and on leases that end by timeout: bench/fair.h says what is counted."""
    none = Target('0', lambda ours, limit, peer: ours == 0)
    less = Target('less than leases', lambda ours, limit, peer: ours == 0 or (peer is not None and peer < 1))
    for key, unit, target in (('early', '', none), ('corrupted', '', none), ('leaked', 'MiB s', less), ('kept', 'B', none),
                              ('told', '', None), ('refused', '', None), ('takes', '', None), ('kills', '', None),
                              ('stops', '', None), ('outlived', '', None)):
        yield Figure(f'fair.{key}', 'fair pgmap {fair_s}', unit=unit, report=key, target=target, pool=FAIR_POOL,
                     peers={name: f'fair lease {{fair_s}} {ms}' for name, ms in LEASES.items()})


FIGURES = [*request_figures(), *space_figures(), *opening_figures(), *translation_figures(), *client_figures(), *stack_figures(), *command_figures(), *file_figures(), *holder_figures(), *hostile_figures()]
GROWTH = list(growth_figures())
FAIR = list(fair_figures())
