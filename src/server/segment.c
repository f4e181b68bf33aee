/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * segment.c - a connection's pin words in a sealed memfd.
 *
 * The seals keep the size, so no word that the server reads can go away under it; F_SEAL_SEAL keeps a client from adding
 * others. A client that punches holes into it resets its own words, and nobody else's.
 */
#include "server/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIN_WORDS = 1 << 16, MAX_WORDS = 1 << 24, WORDS_PER_PAGE = 8 };

static uint64_t words_for(uint64_t pages)
{
	if (pages >= MAX_WORDS / WORDS_PER_PAGE)
		return MAX_WORDS;
	uint64_t n = MIN_WORDS;
	while (n < pages * WORDS_PER_PAGE)
		n *= 2;
	return n;
}

static int make_memfd(uint64_t bytes)
{
	int fd = memfd_create("pgmap-pins", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0600) != 0 || ftruncate(fd, (off_t)bytes) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
		int err = -errno;
		(void)close(fd);
		return err;
	}
	return fd;
}

int segment_init(struct segment *segment, uint64_t pages, int *out)
{
	memset(segment, 0, sizeof(*segment));
	uint64_t count = words_for(pages), bytes = count * sizeof(pinword_t);
	int err = -ENOMEM, fd = make_memfd(bytes);
	if (fd < 0)
		return fd;
	void *words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (words == MAP_FAILED) {
		err = -errno;
		goto no_words;
	}
	(void)madvise(words, bytes, MADV_DONTDUMP);
	segment->pool = wordpool_create(count);
	if (!segment->pool)
		goto no_pool;
	segment->words = words;
	segment->count = count;
	*out = fd;
	return 0;
no_pool:
	(void)munmap(words, bytes);
no_words:
	(void)close(fd);
	return err;
}

void segment_exit(struct segment *segment)
{
	if (segment->words)
		(void)munmap(segment->words, segment->count * sizeof(pinword_t));
	wordpool_destroy(segment->pool);
	memset(segment, 0, sizeof(*segment));
}

int segment_get(struct segment *segment, uint64_t n, enum pinword_reason reason, uint64_t *first)
{
	int err = wordpool_alloc(segment->pool, n, first);
	if (err)
		return err == -ENOSPC ? -ENOMEM : err;
	for (uint64_t i = 0; i < n; i++)
		pinword_init(&segment->words[*first + i], reason);
	return 0;
}

void segment_mark_lost(struct segment *segment, uint64_t word, bool lost)
{
	const uint64_t bit = (uint64_t)PINWORD_UNUSED << PINWORD_REASON;
	pinword_t *at = &segment->words[word];
	if (lost)
		(void)atomic_fetch_or_explicit(at, bit, memory_order_acq_rel);
	else if (atomic_load_explicit(at, memory_order_relaxed) & bit)
		(void)atomic_fetch_and_explicit(at, ~bit, memory_order_release);
}

void segment_put(struct segment *segment, uint64_t first, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		pinword_init(&segment->words[first + i], PINWORD_UNUSED);
	wordpool_free(segment->pool, first, n);
}
