# SPDX-License-Identifier: BSD-3-Clause
"""guest - figures of devices that only a virtual machine has (devices.sh), whose processor is emulated: what a round takes there
says little, the ratio of two that took turns more."""
import os
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f'{os.path.dirname(HERE)}/tests/vm')
import image  # noqa: E402
import machine  # noqa: E402

SECONDS = 300


class NoGuest(Exception):
    """Why there is no machine to measure in."""


def measure(build, rounds, quick):
    """{kind: {'ours': median, 'limit': median}}; a string, why not, for a kind that could not be measured."""
    lines = []
    one = machine.Machine(f'{HERE}/devices.sh')
    one.kernel += [f'pgmap.rounds={rounds}', *(['pgmap.quick=1'] if quick else [])]
    try:
        verdicts = machine.run(one, build, SECONDS, show=lines.append)
    except (image.ImageError, OSError) as error:
        raise NoGuest(f'no virtual machine: {error}') from error
    found = {}
    for kind, (passed, _, log) in verdicts.items():
        said = [line.split()[1:] for line in lines if line.split()[:1] == [kind]]
        found[kind] = (f'{kind}: {log[-1] if log else "it says nothing"}' if not passed or len(said) != rounds else
                       {role: statistics.median(float(values[i]) for values in said) for i, role in enumerate(('ours', 'limit'))})
    return found
