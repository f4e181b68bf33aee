/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pins.c - pins: a compare-and-swap on the word of each folio under a range (core/pinword.h), and no message.
 *
 * All or none: a range is pinned in ascending order; the first word that refuses makes the words before it be unpinned
 * again. An unpin first looks whether every word has such a pin. Async-signal-safe: loads, compare-and-swaps, and (an
 * unpin that somebody waits for) write(2) on the eventfd.
 */
#include <pgmap/client.h>

#include <errno.h>
#include <unistd.h>

#include "client/mapping.h"
#include "port/compiler.h"

/* The last run that begins at or before this page of the file. */
static const struct proto_run *run_of(const struct pgmap_mapping *mapping, uint64_t pgoff)
{
	uint64_t low = 0, high = mapping->nruns;
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;
		if (mapping->runs[middle].file_pgoff <= pgoff)
			low = middle;
		else
			high = middle;
	}
	return &mapping->runs[low];
}

static inline uint64_t span_of(const struct pgmap_mapping *mapping, uint64_t offset_bytes)
{
	uint64_t pgoff = (mapping->file_offset_bytes + offset_bytes) >> 12;
	const struct proto_run *run = run_of(mapping, pgoff);
	return run->first_span + ((pgoff - run->file_pgoff) >> run->order);
}

static inline int check_range(const struct pgmap_mapping *mapping, uint64_t offset_bytes, uint64_t len_bytes, int kind)
{
	if (unlikely(!mapping || (unsigned)kind > PGMAP_PIN_REMOTE || len_bytes == 0 ||
		     offset_bytes >= mapping->bytes || len_bytes > mapping->bytes - offset_bytes))
		return -EINVAL;
	return likely(mapping->generation == atomic_load_explicit(&client_generation, memory_order_relaxed)) ? 0
													     : -EPERM;
}

/* Somebody waits for the end of this pin. A write that fails (full: it is signalled already) is none the worse. */
__attribute__((noinline, cold)) static void tell_drained(const struct pgmap_mapping *mapping)
{
	int saved = errno;
	(void)!write(mapping->client->event.fd, &(uint64_t){1}, sizeof(uint64_t));
	errno = saved;
}

static inline int unpin_word(struct pgmap_mapping *mapping, uint64_t span, int kind)
{
	int rc = pinword_unpin(&mapping->words[span], kind);
	if (unlikely(rc == PINWORD_DRAINED))
		tell_drained(mapping);
	return rc < 0 ? rc : 0;
}

/* The server has a bit beside the reason for pages that have lost their data, in a word that is in use (segment_mark_lost()). */
static inline int pin_word(struct pgmap_mapping *mapping, uint64_t span, int kind)
{
	int err = pinword_pin(&mapping->words[span], kind);
	if (likely(err != -EINVAL))
		return err;
	unsigned reason = pinword_read(&mapping->words[span]).reason;
	return (reason & PINWORD_UNUSED) && !(reason & PINWORD_CLOSING) ? -EHWPOISON : err;
}

static int pin_many(struct pgmap_mapping *mapping, uint64_t first, uint64_t last, int kind)
{
	for (uint64_t i = first + 1; i <= last; i++) {
		int err = pin_word(mapping, i, kind);
		if (!err)
			continue;
		while (i-- > first)
			(void)unpin_word(mapping, i, kind);
		return err;
	}
	return 0;
}

static __attribute__((noinline)) int pin_range(struct pgmap_mapping *mapping, uint64_t offset_bytes, uint64_t len_bytes,
					       int kind)
{
	int err = check_range(mapping, offset_bytes, len_bytes, kind);
	if (!err && mapping->leased.no_pins)
		err = -EPERM;
	if (err)
		return err;
	uint64_t first = span_of(mapping, offset_bytes), last = span_of(mapping, offset_bytes + len_bytes - 1);
	err = pin_word(mapping, first, kind);
	return err || first == last ? err : pin_many(mapping, first, last, kind);
}

/* The one word of a range within one folio of a mapping with folios of one order; null: it is not that simple. */
static inline pinword_t *only_word(const struct pgmap_mapping *mapping, uint64_t offset_bytes, uint64_t len_bytes,
				   int kind)
{
	if (unlikely(check_range(mapping, offset_bytes, len_bytes, kind) != 0 || !mapping->only_words))
		return NULL;
	uint64_t from = mapping->only_from + offset_bytes;
	if (unlikely(from >> mapping->only_shift != (from + len_bytes - 1) >> mapping->only_shift))
		return NULL;
	return &mapping->only_words[from >> mapping->only_shift];
}

PGMAP_PUBLIC int pgmap_pin(struct pgmap_mapping *mapping, uint64_t offset_bytes, uint64_t len_bytes, int kind)
{
	pinword_t *word = only_word(mapping, offset_bytes, len_bytes, kind);
	if (likely(word && pinword_try_first(word, kind)))
		return 0;
	return pin_range(mapping, offset_bytes, len_bytes, kind);
}

static int has_pins(const struct pgmap_mapping *mapping, uint64_t first, uint64_t last, int kind)
{
	for (uint64_t i = first; i <= last; i++) {
		struct pinword_counts counts = pinword_read(&mapping->words[i]);
		if ((kind == PGMAP_PIN_REMOTE ? counts.remote : counts.local) == 0)
			return 0;
	}
	return 1;
}

static __attribute__((noinline)) int unpin_range(struct pgmap_mapping *mapping, uint64_t offset_bytes,
						 uint64_t len_bytes, int kind)
{
	int err = check_range(mapping, offset_bytes, len_bytes, kind);
	if (err)
		return err;
	uint64_t first = span_of(mapping, offset_bytes), last = span_of(mapping, offset_bytes + len_bytes - 1);
	if (first == last)
		return unpin_word(mapping, first, kind);
	if (!has_pins(mapping, first, last, kind))
		return -EINVAL;
	for (uint64_t i = first; i <= last && !err; i++)
		err = unpin_word(mapping, i, kind);
	return err;
}

PGMAP_PUBLIC int pgmap_unpin(struct pgmap_mapping *mapping, uint64_t offset_bytes, uint64_t len_bytes, int kind)
{
	pinword_t *word = only_word(mapping, offset_bytes, len_bytes, kind);
	if (likely(word && pinword_try_only(word, kind)))
		return 0;
	return unpin_range(mapping, offset_bytes, len_bytes, kind);
}

int mapping_close_words(struct pgmap_mapping *mapping)
{
	for (uint64_t i = 0; i < mapping->nspans; i++) {
		if (pinword_close(&mapping->words[i]) == 0)
			continue;
		mapping_reopen_words(mapping, i);
		return -EBUSY;
	}
	return 0;
}

void mapping_reopen_words(struct pgmap_mapping *mapping, uint64_t nwords)
{
	for (uint64_t i = 0; i < nwords; i++)
		pinword_reopen(&mapping->words[i]);
}
