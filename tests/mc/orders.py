# SPDX-License-Identifier: BSD-3-Clause
"""Each memory order of the core's lock-free sources, made weaker: is it found?

A place is one order of one operation: file, function, which operation in it, and, of an exchange, which of its two. All
orders that are weaker there are tried, strongest first, until one is found: what is weaker still is found by the same.
A fence goes altogether too. Found: some scenario in C11's memory has a violation.

What is not found stands in survivors.txt, with the reason why nothing has to find it. A survivor that is not there, and a
line there that is found or has no place any more, are errors.
"""
import concurrent.futures
import os
import re
import shutil

from scenarios import C11, ORDERS, PINS, SPECIAL, UNCOUNTERS

FILES = ["word.h", "live.h", "claim.h", "claim.c", "pinword.h"]
COPY = "mc_special.c"  # private.c's and poison.c's: copies.py has them compared
CALL = re.compile(r"\b(atomic_\w+?_explicit|atomic_thread_fence)\(")
FUNCTION = re.compile(r"^(?:static |inline |const |struct )*[\w*]+ [\w *]*?\**(\w+)\([^;]*$|^#define (\w+)\(")
READS = {"seq_cst": ["acquire"], "acquire": ["relaxed"], "relaxed": []}
WRITES = {"seq_cst": ["release"], "release": ["relaxed"], "relaxed": []}
BOTH = {"seq_cst": ["acq_rel"], "acq_rel": ["acquire", "release"], "acquire": ["relaxed"], "release": ["relaxed"], "relaxed": []}
FENCES = {"seq_cst": ["acq_rel"], "acq_rel": ["acquire", "release"], "acquire": ["none"], "release": ["none"]}


def steps_of(call, argument):
    """How the orders of a call weaken; `argument`: which of its orders."""
    if call == "atomic_thread_fence":
        return FENCES
    if "load" in call or argument == 1:
        return READS
    return WRITES if "store" in call else BOTH


def end_of_call(text, start):
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at + 1
    raise ValueError("a call without an end")


def places(name, text):
    """(what it is called, how its orders weaken, from, to, its order now), of each order in a source."""
    function, counts, at = "?", {}, 0
    lines = []
    for line in text.splitlines(keepends=True):
        match = FUNCTION.match(line)
        function = next(filter(None, match.groups())) if match else function
        lines.append((at, function))
        at += len(line)
    for match in CALL.finditer(text):
        function = [f for start, f in lines if start <= match.start()][-1]
        end = end_of_call(text, match.end() - 1)
        counts[function] = counts.get(function, 0) + 1
        for argument, order in enumerate(re.finditer(r"memory_order_(\w+)", text[match.start():end])):
            what = match.group(1).replace("atomic_", "").replace("_explicit", "")
            what += ", failed" if argument == 1 else ""
            yield (f"{name} {function} {counts[function]} {what}", steps_of(match.group(1), argument),
                   match.start() + order.start(1), match.start() + order.end(1), order.group(1))


def weakened(text, place, order):
    _, _, start, end, _ = place
    if order != "none":
        return text[:start] + order + text[end:]
    call = text.rindex("atomic_thread_fence", 0, start)
    return text[:call] + "((void)0)" + text[end_of_call(text, text.index("(", call)):]


def find(checker, run, name, text, label):
    """What finds it, or None."""
    folder = checker.work / re.sub(r"\W+", "-", label)
    shutil.copytree(checker.core, folder)
    (folder / name).write_text(text)
    try:
        if name == "pinword.h":
            tries = [(lambda s=s: (checker.pins("c11", folder), s)) for s in PINS]
        elif name == COPY:
            tries = [(lambda s=s: (checker.tree((2, 2), "c11", folder), s)) for s in SPECIAL]
        else:
            tries = [(lambda shape=shape, s=s, memory=memory: (checker.tree(shape, memory, folder), s))
                     for memory in ("c11", "c11-barrier") for shape, s in ORDERS + C11]
        for make in tries:
            program, scenario = make()
            rc, said = run(program, scenario)
            if rc == 1:
                return said.splitlines()[0].replace("VIOLATION: ", "") + ": " + scenario
            if rc == 2:
                raise SystemExit(f"mc: no such scenario: {scenario}")
        return None
    finally:
        shutil.rmtree(folder)


def source(checker, name):
    return (checker.here if name == COPY else checker.core) / name


def weaken(checker, run, name, place):
    """All that survives at a place."""
    text, survivors = source(checker, name).read_text(), []
    todo, tried = list(place[1][place[4]]), set()
    while todo:
        order = todo.pop(0)
        if order in tried:
            continue
        tried.add(order)
        label = f"{place[0]}: {place[4]} -> {order}"
        why = find(checker, run, name, weakened(text, place, order), label)
        print(f"mc: {label}: {'found: ' + why if why else 'SURVIVED'}", flush=True)
        if why is None:
            survivors.append(label)
            todo += place[1].get(order, [])
    return survivors


def read_survivors(path):
    """{label: reason}: a label stands at the beginning of a line, its reason in the indented lines below."""
    known, label = {}, None
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line[0] in " \t":
            known[label] += line.strip() + " "
        else:
            label = line.strip()
            known[label] = ""
    return known


def find_without_fence(checker, run):
    """As C11 reads live.h, LIVE_LIGHT is a fence, and does for LIVE_FENCE. Where it is none, the absence must be found."""
    shape, scenario = UNCOUNTERS
    with_fence, _ = run(checker.tree(shape, "c11-barrier"), scenario)
    without, said = run(checker.tree(shape, "c11-barrier", None, ["-DLIVE_FENCE()=((void)0)"]), scenario)
    ok = with_fence == 0 and without == 1
    print(f"mc: asymmetric barriers, and no LIVE_FENCE: {said.splitlines()[0] if ok else 'SURVIVED'}: {scenario}")
    return ok


def check(checker, run):
    """0: all as survivors.txt says."""
    known = read_survivors(checker.here / "survivors.txt")
    everything = [(name, place) for name in [*FILES, COPY] for place in places(name, source(checker, name).read_text())]
    checker.base("c11", 3)
    checker.base("c11-barrier", 3)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        survivors = sum(pool.map(lambda p: weaken(checker, run, *p), everything), [])
    wrong = [f"{label}: it survives, and survivors.txt does not know it" for label in survivors if label not in known]
    wrong += [f"{label}: survivors.txt has it, and it does not survive" for label in known if label not in survivors]
    wrong += [f"{label}: no reason" for label, reason in known.items() if not reason]
    wrong += [] if find_without_fence(checker, run) else ["no LIVE_FENCE: not found"]
    summary = f"mc: {len(everything)} orders, {len(survivors)} weakenings survive with a reason, {len(wrong)} wrong"
    print("\n".join(wrong + [summary]))
    return 1 if wrong or not everything else 0
