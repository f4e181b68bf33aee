/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/track.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "port/abort.h"
#include "port/reserve.h"
#include "port/siglock.h"
#include "port/stack.h"

#include "core/map.h"

enum { TRACK_CHUNK_BYTES = 256 * 1024, TRACK_DROPPED = 256 };

struct record {
	RB_ENTRY(record) link; /* by word, then by number */
	struct record *next_free;
	const struct pgmap *pgmap;
	const word_t *word;
	const struct pgmap_holder *holder;
	uint64_t number;
	int kind;
	struct port_stack taken_at;
};

RB_HEAD(record_tree, record);

static struct {
	pthread_mutex_t lock;
	struct record_tree records;
	struct record *free;
	uint64_t number;
	uint64_t missing;                     /* references for whose record there was no memory */
	struct record dropped[TRACK_DROPPED]; /* a ring: what was put lately, and where */
	unsigned ndropped;
	int process;
} track = {.lock = PTHREAD_MUTEX_INITIALIZER, .records = RB_INITIALIZER(&track.records)};

atomic_bool track_on;

static int record_compare(const struct record *a, const struct record *b)
{
	if (a->word != b->word)
		return (uintptr_t)a->word < (uintptr_t)b->word ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

TREE_GENERATE(record_tree, record, link, record_compare)

/* All below, to the next heading: with the lock held. */

static struct record *record_new(void)
{
	if (!track.free) {
		struct record *chunk = port_pages(TRACK_CHUNK_BYTES);
		for (size_t i = 0; chunk && i < TRACK_CHUNK_BYTES / sizeof(*chunk); i++) {
			chunk[i].next_free = track.free;
			track.free = &chunk[i];
		}
	}
	struct record *record = track.free;
	if (record)
		track.free = record->next_free;
	else
		track.missing++;
	return record;
}

static void record_insert(struct record *record)
{
	record->number = ++track.number;
	RB_INSERT(record_tree, &track.records, record);
}

static void record_free(struct record *record)
{
	RB_REMOVE(record_tree, &track.records, record);
	record->next_free = track.free;
	track.free = record;
}

static struct record *first_of(const word_t *word)
{
	struct record key = {.word = word};
	struct record *record = RB_NFIND(record_tree, &track.records, &key);
	return record && record->word == word ? record : NULL;
}

static struct record *next_of(struct record *record)
{
	const word_t *word = record->word;
	record = RB_NEXT(record_tree, &track.records, record);
	return record && record->word == word ? record : NULL;
}

/* The one that this thread took last, else the one that was taken last. */
static struct record *find(const word_t *word, const struct pgmap_holder *holder, int kind)
{
	struct record *last = NULL, *own = NULL;
	for (struct record *r = first_of(word); r; r = next_of(r)) {
		if (r->holder != holder || r->kind != kind)
			continue;
		last = r;
		own = r->taken_at.thread == port_thread() ? r : own;
	}
	return own ? own : last;
}

static void say_record(const struct record *record, const char *what)
{
	static const char *const kinds[] = {"a reference", "a LOCAL pin", "a REMOTE pin"};
	const struct pgmap *pgmap = record->pgmap;
	assume(pgmap != NULL);
	port_say("pgmap: %s: pgoff %#" PRIx64 ": %s%s%s %s by thread %d at", pgmap->name,
		 map_pgoff(pgmap, map_folio(record->word)), kinds[record->kind + 1], record->holder ? " of " : "",
		 record->holder ? record->holder->name : "", what, record->taken_at.thread);
	port_stack_say(&record->taken_at);
}

/* The ring, from the oldest. */
static void say_dropped(const word_t *word)
{
	for (unsigned i = 0; i < TRACK_DROPPED; i++) {
		const struct record *record = &track.dropped[(track.ndropped + i) % TRACK_DROPPED];
		if (record->word == word)
			say_record(record, "was dropped");
	}
}

/* From here on: without it. */

static void print_at_exit(void)
{
	const struct pgmap *last = NULL;
	sigset_t saved;
	if (port_process() != track.process)
		return; /* a child that has only inherited the table */
	port_siglock(&track.lock, &saved);
	struct record *record;
	RB_FOREACH (record, record_tree, &track.records) {
		if (record->pgmap != last)
			port_say("pgmap: %s: still held at exit:", record->pgmap->name);
		last = record->pgmap;
		say_record(record, "was taken");
	}
	if (track.missing)
		port_say("pgmap: %" PRIu64 " references were not recorded: no memory", track.missing);
	port_sigunlock(&track.lock, &saved);
}

/* A child of fork() begins anew: what it has inherited is its parent's to say. */
static void forget_parent(void)
{
	sigset_t saved;
	port_siglock(&track.lock, &saved);
	struct record *record;
	while (track.process != port_process() && (record = RB_ROOT(&track.records)) != NULL)
		record_free(record);
	track.process = port_process();
	port_sigunlock(&track.lock, &saved);
}

static void track_start(void)
{
	port_stack_init();
	track.process = port_process();
	(void)atexit(print_at_exit);
}

void track_init(struct pgmap *pgmap)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const char *value = secure_getenv("PGMAP_TRACK");
	if (!value || strcmp(value, "1") != 0)
		return;
	(void)pthread_once(&once, track_start);
	forget_parent();
	map_special(pgmap, SPECIAL_TRACK, true);
	atomic_store_explicit(&track_on, true, memory_order_relaxed); /* before there is a folio of this pgmap */
}

void track_exit(struct pgmap *pgmap)
{
	sigset_t saved;
	port_siglock(&track.lock, &saved);
	struct record *record, *next;
	RB_FOREACH_SAFE (record, record_tree, &track.records, next)
		if (record->pgmap == pgmap)
			record_free(record);
	for (unsigned i = 0; i < TRACK_DROPPED; i++)
		if (track.dropped[i].pgmap == pgmap)
			track.dropped[i].word = NULL;
	port_sigunlock(&track.lock, &saved);
}

void __attribute__((noinline))
track_add(struct pgmap *pgmap, const word_t *word, const struct pgmap_holder *holder, int kind)
{
	sigset_t saved;
	port_siglock(&track.lock, &saved);
	struct record *record = record_new();
	if (record) {
		*record = (struct record){.pgmap = pgmap, .word = word, .holder = holder, .kind = kind};
		port_stack_take(&record->taken_at);
		record_insert(record);
	}
	port_sigunlock(&track.lock, &saved);
}

void __attribute__((noinline))
track_remove(struct pgmap *pgmap, const word_t *word, const struct pgmap_holder *holder, int kind)
{
	sigset_t saved;
	port_siglock(&track.lock, &saved);
	struct record *dropped = &track.dropped[track.ndropped++ % TRACK_DROPPED];
	*dropped = (struct record){.pgmap = pgmap, .word = word, .holder = NULL, .kind = kind};
	port_stack_take(&dropped->taken_at);
	struct record *record = find(word, holder, kind);
	if (record)
		record_free(record);
	port_sigunlock(&track.lock, &saved);
}

void track_charge(const word_t *word, const struct pgmap_holder *holder)
{
	sigset_t saved;
	port_siglock(&track.lock, &saved);
	struct record *record = find(word, NULL, TRACK_REF);
	if (record)
		record->holder = holder;
	port_sigunlock(&track.lock, &saved);
}

/* Records of the word go: of that holder, or (any) all. */
static void drop_all(const word_t *word, const struct pgmap_holder *holder, bool any)
{
	sigset_t saved;
	port_siglock(&track.lock, &saved);
	struct record *record = first_of(word);
	while (record) {
		struct record *next = next_of(record);
		if (any || record->holder == holder)
			record_free(record);
		record = next;
	}
	port_sigunlock(&track.lock, &saved);
}

void track_end(const word_t *word, const struct pgmap_holder *holder)
{
	drop_all(word, holder, false);
}

void track_forget(const word_t *word)
{
	drop_all(word, NULL, true);
}

uint64_t track_number(void)
{
	sigset_t saved;
	if (!track_is_on())
		return 0;
	port_siglock(&track.lock, &saved);
	uint64_t number = track.number;
	port_sigunlock(&track.lock, &saved);
	return number;
}

void track_copy(const word_t *from, const word_t *to, uint64_t upto)
{
	sigset_t saved;
	port_siglock(&track.lock, &saved);
	for (struct record *record = first_of(from); record && record->number <= upto; record = next_of(record)) {
		struct record *copy = record_new();
		if (!copy)
			continue;
		*copy = *record;
		copy->word = to;
		record_insert(copy);
	}
	port_sigunlock(&track.lock, &saved);
}

void track_print(const struct pgmap *pgmap, const word_t *word, const char *why)
{
	sigset_t saved;
	port_siglock(&track.lock, &saved);
	port_say("pgmap: %s: %s:", pgmap->name, why);
	struct record *record;
	RB_FOREACH (record, record_tree, &track.records)
		if (record->pgmap == pgmap && (!word || record->word == word))
			say_record(record, "was taken");
	if (word)
		say_dropped(word);
	if (track.missing)
		port_say("pgmap: %" PRIu64 " references were not recorded: no memory", track.missing);
	port_sigunlock(&track.lock, &saved);
}
