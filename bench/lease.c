/* SPDX-License-Identifier: BSD-3-Clause */
/* lease.c - see lease.h. */
#include "lease.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "subject.h"

/* A word: the generation in the upper 16 bits, the end of the lease in microseconds (nine years of them) in the others. */
#define END_BITS 48
#define END_MASK ((UINT64_C(1) << END_BITS) - 1)

struct lease_pool {
	uint32_t blocks;
	size_t block_bytes;
	uint64_t timeout_us;
	char *memory;
	_Atomic uint32_t cursor;
	_Atomic uint64_t words[];
};

static uint64_t now_us(void)
{
	return now_ns() / 1000;
}

static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

struct lease_pool *lease_pool_create(uint32_t blocks, size_t block_bytes, uint64_t timeout_ns)
{
	struct lease_pool *pool = shared(sizeof(*pool) + blocks * sizeof(pool->words[0]));
	if (!pool)
		return NULL;
	pool->blocks = blocks;
	pool->block_bytes = block_bytes;
	pool->timeout_us = timeout_ns / 1000;
	pool->memory = shared(blocks * block_bytes);
	return pool->memory ? pool : NULL;
}

static uint64_t generation_of(uint64_t word)
{
	return word >> END_BITS;
}

static uint64_t make_word(struct lease_pool *pool, uint64_t generation)
{
	return generation << END_BITS | ((now_us() + pool->timeout_us) & END_MASK);
}

int lease_take(struct lease_pool *pool, struct lease *out)
{
	/* Round the pool: what was given up a moment ago is the last to be given again. */
	for (uint32_t tried = 0; tried < pool->blocks; tried++) {
		uint32_t block = atomic_fetch_add(&pool->cursor, 1) % pool->blocks;
		uint64_t word = atomic_load(&pool->words[block]);
		if ((word & END_MASK) > now_us())
			continue;
		uint64_t generation = (generation_of(word) + 1) & UINT16_MAX;
		if (atomic_compare_exchange_strong(&pool->words[block], &word, make_word(pool, generation))) {
			*out = (struct lease){.block = block, .generation = (uint32_t)generation};
			return 0;
		}
	}
	return -ENOSPC;
}

bool lease_renew(struct lease_pool *pool, struct lease lease)
{
	uint64_t word = atomic_load(&pool->words[lease.block]);
	do {
		if (generation_of(word) != lease.generation || (word & END_MASK) == 0)
			return false;
	} while (!atomic_compare_exchange_weak(&pool->words[lease.block], &word, make_word(pool, lease.generation)));
	return true;
}

bool lease_valid(struct lease_pool *pool, struct lease lease)
{
	return lease_left_ns(pool, lease) > 0;
}

int lease_free(struct lease_pool *pool, struct lease lease)
{
	uint64_t word = atomic_load(&pool->words[lease.block]);
	do {
		if (generation_of(word) != lease.generation)
			return -ESTALE;
	} while (!atomic_compare_exchange_weak(&pool->words[lease.block], &word, word & ~END_MASK));
	return 0;
}

uint64_t lease_left_ns(struct lease_pool *pool, struct lease lease)
{
	uint64_t word = atomic_load(&pool->words[lease.block]), now = now_us(), end = word & END_MASK;
	return generation_of(word) == lease.generation && end > now ? (end - now) * 1000 : 0;
}

void *lease_address(struct lease_pool *pool, struct lease lease)
{
	return pool->memory + lease.block * pool->block_bytes;
}
