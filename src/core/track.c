/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/track.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "port/reserve.h"
#include "port/siglock.h"

#include "core/map.h"

enum { TRACK_FRAMES = 8, TRACK_SKIP = 2, TRACK_CHUNK_BYTES = 256 * 1024, TRACK_DROPPED = 256, TRACK_LINE = 512 };

struct record {
	RB_ENTRY(record) link; /* by word, then by number */
	struct record *next_free;
	const struct pgmap *pgmap;
	const word_t *word;
	const struct pgmap_holder *holder;
	uint64_t number;
	int kind;
	pid_t thread;
	int nframes;
	void *frames[TRACK_FRAMES];
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
	pid_t process;
} track = {.lock = PTHREAD_MUTEX_INITIALIZER, .records = RB_INITIALIZER(&track.records)};

bool track_on;

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
		own = r->thread == gettid() ? r : own;
	}
	return own ? own : last;
}

static void __attribute__((noinline)) record_here(struct record *record)
{
	void *frames[TRACK_FRAMES + TRACK_SKIP];
	int n = backtrace(frames, TRACK_FRAMES + TRACK_SKIP) - TRACK_SKIP;
	record->nframes = n > 0 ? n : 0;
	memcpy(record->frames, frames + TRACK_SKIP, (size_t)record->nframes * sizeof(*frames));
	record->thread = gettid();
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* Straight to the descriptor: this may be the way to an abort, or in a signal handler's reach. */
static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
	char line[TRACK_LINE];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n > 0)
		(void)!write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

/* As addr2line -e MODULE 0xOFFSET wants it, and the nearest public name. */
static void say_frames(const struct record *record)
{
	for (int i = 0; i < record->nframes; i++) {
		Dl_info info;
		if (dladdr(record->frames[i], &info) == 0 || !info.dli_fname) {
			say("    %p\n", record->frames[i]);
			continue;
		}
		say("    %s+%#tx%s%s\n", base_name(info.dli_fname), (char *)record->frames[i] - (char *)info.dli_fbase,
		    info.dli_sname ? " " : "", info.dli_sname ? info.dli_sname : "");
	}
}

static void say_record(const struct record *record, const char *what)
{
	static const char *const kinds[] = {"a reference", "a LOCAL pin", "a REMOTE pin"};
	const struct pgmap *pgmap = record->pgmap;
	say("pgmap: %s: pgoff %#" PRIx64 ": %s%s%s %s by thread %d at\n", pgmap->name,
	    map_pgoff(pgmap, map_folio(record->word)), kinds[record->kind + 1], record->holder ? " of " : "",
	    record->holder ? record->holder->name : "", what, (int)record->thread);
	say_frames(record);
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
	if (getpid() != track.process)
		return; /* a child that has only inherited the table */
	port_siglock(&track.lock, &saved);
	struct record *record;
	RB_FOREACH (record, record_tree, &track.records) {
		if (record->pgmap != last)
			say("pgmap: %s: still held at exit:\n", record->pgmap->name);
		last = record->pgmap;
		say_record(record, "was taken");
	}
	if (track.missing)
		say("pgmap: %" PRIu64 " references were not recorded: no memory\n", track.missing);
	port_sigunlock(&track.lock, &saved);
}

static void track_start(void)
{
	void *frame[1];
	(void)backtrace(frame, 1); /* loads what it needs, before a signal handler or a lock has to wait for it */
	track.process = getpid();
	(void)atexit(print_at_exit);
}

void track_init(struct pgmap *pgmap)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const char *value = secure_getenv("PGMAP_TRACK");
	if (!value || strcmp(value, "1") != 0)
		return;
	(void)pthread_once(&once, track_start);
	map_special(pgmap, SPECIAL_TRACK, true);
	track_on = true; /* before there is a folio of this pgmap */
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
		record_here(record);
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
	record_here(dropped);
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

void track_copy(const word_t *from, const word_t *to)
{
	sigset_t saved;
	port_siglock(&track.lock, &saved);
	for (struct record *record = first_of(from); record; record = next_of(record)) {
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
	say("pgmap: %s: %s:\n", pgmap->name, why);
	struct record *record;
	RB_FOREACH (record, record_tree, &track.records)
		if (record->pgmap == pgmap && (!word || record->word == word))
			say_record(record, "was taken");
	if (word)
		say_dropped(word);
	if (track.missing)
		say("pgmap: %" PRIu64 " references were not recorded: no memory\n", track.missing);
	port_sigunlock(&track.lock, &saved);
}
