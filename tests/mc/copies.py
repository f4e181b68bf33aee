# SPDX-License-Identifier: BSD-3-Clause
"""copies - the model makes the operations that folio.c, holder.c, split.c, pgmap.c, private.c and poison.c make, in their order.

mc_folio.c, mc_death.c and mc_special.c have the sequences of those files without what the model knows nothing of (holders,
tracking, memory, callbacks), and with checks between. Here both are reduced to their operations on words, live count, wake word,
flags and private values, with what they write and in which order of memory; functions that they call are put in their places.
Then they must be equal: so what the model checker proves of the one holds of the other, also after a change.
"""
import re
import sys

OPERATION = re.compile(r'word_(load|claim|store|get|put|mark)|live_(state|add|add_own|kill|revive|try_die|is_dying|was_last)|'
                       r'LIVE_HEAVY|claim_(request|lookup|hold_span|publish_span|split_(begin|decide|cancel))|port_futex_wait|'
                       r'pthread_mutex_(un)?lock|lock|unlock|atomic_\w+')
# Calls that are put in their places: of the core with the file, of the model.
CORE = {'map_uncount': 'core/map.h', 'map_wake_if_last': 'core/pgmap.c', 'wake_drainers': 'core/pgmap.c', 'put': 'core/folio.c',
        'map_put': 'core/folio.c', 'map_release': 'core/folio.c', 'map_finish_release': 'core/folio.c', 'release_own': 'core/folio.c',
        'release_anonymous': 'core/folio.c', 'check_span': 'core/folio.c', 'unfence': 'core/holder.c',
        'find_quarantined': 'core/holder.c', 'split_locked': 'core/split.c', 'split_held': 'core/split.c', 'decide': 'core/split.c',
        'claim_request_span': 'core/claim.c', 'request_again': 'core/folio.c', 'private_of': 'core/private.c',
        'map_private_clear': 'core/private.c', 'map_special': 'core/map.h', 'map_open_short_ways': 'core/pgmap.c'}
MODEL = {'uncount', 'finish_release', 'release', 'put', 'unfence', 'find_quarantined', 'check_span', 'private_of', 'private_clear',
         'map_special', 'map_open_short_ways'}
MODEL_FILES = ('mc_folio.c', 'mc_death.c', 'mc_special.c')
# Words of the model and of the core that are the same.
NAMES = ('wake', 'special', 'short_way', 'private_words', 'private_on_demand', 'at')
WORDS = re.compile(rf'&(?:pgmap->live|pgmap|g)(?:\.|->)({"|".join(NAMES[:-1])})(?:s\[level\])?(?=,)')
SHORT_WAY = {'word_store', 'live_add_own', 'live_is_dying', 'map_wake_if_last'}  # of release_own(), beside release_anonymous()
# (function of the core, its file, of the model, calls that are left out, and why)
PAIRS = [
    ('map_release', 'core/folio.c', 'release', set()),
    ('put', 'core/folio.c', 'put', set()),
    ('release_own', 'core/folio.c', 'finish_release', {'release_anonymous', 'private_clear'}),  # its short way
    ('folio_unpin', 'core/folio.c', 'unpin', {'map_release'}),  # what charge_remove() has put; release_anonymous() comes to it
    ('end_charge', 'core/holder.c', 'end_charge', set()),
    ('pgmap_holder_fence', 'core/holder.c', 'folio_fence', set()),
    ('pgmap_release_quarantined', 'core/holder.c', 'folio_release_quarantined', set()),
    ('pgmap_kill', 'core/pgmap.c', 'tree_kill', set()),
    ('pgmap_drain', 'core/pgmap.c', 'tree_drain', set()),
    ('pgmap_revive', 'core/pgmap.c', 'tree_revive', set()),
    ('folio_split', 'core/split.c', 'folio_split', set()),
    ('request', 'core/folio.c', 'request', set()),
    ('request_base', 'core/folio.c', 'request_base', set()),
    ('map_finish_release', 'core/folio.c', 'finish_release', set()),
    ('pgmap_request_folios', 'core/folio.c', 'folio_request_span', set()),
    ('pgmap_get_folio', 'core/folio.c', 'folio_lookup', {'live_state'}),  # only to answer early: what it finds is held in any case
    ('folio_set_private', 'core/private.c', 'folio_set_private', set()),
    ('folio_private', 'core/private.c', 'folio_private', set()),
    ('change', 'core/poison.c', 'tree_poison', set()),
    ('poison_covers', 'core/poison.c', 'poison_covers', set()),
]
# Changes that must be seen.
PLANTED = [
    ('core/map.h', 'live_add(&pgmap->live, slot, -(int64_t)npages);', ''),
    ('core/folio.c', 'live_add_own(&pgmap->live, own - 1, -(INT64_C(1) << word_order(old)));', ''),
    ('core/folio.c', 'word_store(word, word_make(WORD_QUARANTINED, order, 0));', 'word_store(word, 0);'),
    ('core/pgmap.c', 'atomic_load_explicit(&pgmap->live.wake, memory_order_seq_cst)',
     'atomic_load_explicit(&pgmap->live.wake, memory_order_relaxed)'),
    ('core/pgmap.c', 'uint64_t state = live_state(&pgmap->live);\n\t\tif', 'if'),
    ('core/holder.c', '*old = word_load(word);', ''),
    ('core/split.c', 'claim_split_cancel(&s->words);', ''),
    ('core/folio.c', 'map_private_clear(pgmap, word);', ''),
    ('core/private.c', 'map_special(pgmap, SPECIAL_PRIVATE, true);', ''),
    ('core/private.c', 'atomic_load_explicit(&pgmap->private_words, memory_order_acquire)',
     'atomic_load_explicit(&pgmap->private_words, memory_order_relaxed)'),
    ('core/poison.c', 'map_open_short_ways(pgmap, !map_is(pgmap, SPECIAL_POISON | SPECIAL_TRACK));', ''),
]


def code_of(path):
    text = re.sub(r'/\*.*?\*/', '', path.read_text(encoding='utf-8'), flags=re.S)
    return re.sub(r'^#if(def)? .*?^#else\n', '', text, flags=re.S | re.M)


def body_of(text, name):
    match = re.search(r'^[^\n;#]*\b' + name + r'\([^;{]*\)\s*\{\n(.*?)^\}', text, re.S | re.M)
    if not match:
        sys.exit(f'copies: there is no {name}()')
    return match.group(1)


def calls_in(body):
    """(name, arguments) of each call, from left to right; what is asked only to be said in an abort is none."""
    skip_to = 0
    for match in re.finditer(r'\b([A-Za-z_]\w*)\(', body):
        depth, end = 1, match.end()
        while depth:
            depth += {'(': 1, ')': -1}.get(body[end], 0)
            end += 1
        if match.group(1) == 'map_abort':
            skip_to = end
        elif match.start() >= skip_to:
            yield match.group(1), ' '.join(body[match.end():end - 1].split())


def said(call, args):
    """An operation, as both sides would write it; None: on something that the model does not have."""
    if call == 'port_futex_wait':
        call, args = 'atomic_load_explicit', args.split(',')[0] + ', memory_order_seq_cst'  # what it does in the kernel
    if call in ('pthread_mutex_lock', 'pthread_mutex_unlock', 'lock', 'unlock'):
        return call.split('_')[-1] if 'poison' in args else None
    args = WORDS.sub(r'\1', args)
    args = re.sub(r's->', '', args).replace('map_word(folio)', 'word')
    if call.startswith('atomic_'):
        parts = args.split(', ')
        if parts[0] == 'short_way' and 'store' in call:
            return f'{call}(short_way, {parts[-1]})'  # how many pages they are good for; the model has one flag
        return f'{call}({args})' if parts[0] in NAMES else None
    if call.startswith('live_add'):
        return 'live_add(-)' if ', -(' in args else 'live_add(+)'
    return f'{call}({args})' if call.startswith('word_') else call


def operations(name, text_of, leave=()):
    for call, args in calls_in(body_of(text_of(name), name)):
        if call in leave or (name == 'release_own' and not leave and call in SHORT_WAY):
            continue
        if OPERATION.fullmatch(call):
            operation = said(call, args)
            if operation:
                yield operation
        elif call != name and text_of(call):
            yield from operations(call, text_of)


def differences(model, core):
    """What is not equal."""
    for function, file, copy, leave in PAIRS:
        files = {**CORE, function: file}
        theirs = list(operations(function, lambda call, files=files: core.get(files.get(call)), leave))
        ours = list(operations(copy, lambda call, copy=copy: model if call in MODEL or call == copy else None, leave))
        if theirs != ours or not ours:
            yield f'{function}() of {file}, and {copy}() of the model:\n  core:  {"; ".join(theirs)}\n  model: {"; ".join(ours)}'


def unseen(model, core):
    """The negative control: what was changed in the core, and is not seen."""
    for file, old, new in PLANTED:
        if core[file].count(old) != 1:
            yield f'{old} does not stand once in {file}: the list is stale'
        elif not list(differences(model, {**core, file: core[file].replace(old, new)})):
            yield f'{old} in {file} can go unseen'


def check(root):
    model = '\n'.join(code_of(root / 'tests/mc' / name) for name in MODEL_FILES)
    core = {file: code_of(root / 'src' / file) for file in {*CORE.values(), *(pair[1] for pair in PAIRS)}}
    wrong = [*differences(model, core), *unseen(model, core)]
    for line in wrong:
        print(f'mc: {line}')
    print(f'mc: {len(PAIRS)} sequences of the core are compared, {len(PLANTED)} differences planted: {"WRONG" if wrong else "right"}')
    return 1 if wrong else 0
