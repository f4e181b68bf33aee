/* SPDX-License-Identifier: BSD-3-Clause */
#include "port/reserve.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where to ask for the next reservation, so that it is aligned as it comes: somewhere in [2^45, 2^46), where few others
 * are. A hint, nothing depends on it. */
static _Atomic uintptr_t reserve_hint;
enum { RESERVE_HINT_BITS = 45 };

static void *reserve_map(void *hint, size_t bytes, int prot)
{
	void *at = mmap(hint, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return at == MAP_FAILED ? NULL : at;
}

static void *reserve_aligned(size_t bytes, size_t align, int prot)
{
	uintptr_t room = (bytes + align - 1) / align * align;
	uintptr_t hint = atomic_fetch_add_explicit(&reserve_hint, room + align, memory_order_relaxed);
	hint = (uintptr_t)1 << RESERVE_HINT_BITS | (hint & (((uintptr_t)1 << RESERVE_HINT_BITS) - 1));
	hint = (hint + align - 1) / align * align;
	char *at = reserve_map((void *)hint, bytes, prot);
	if (!at || (uintptr_t)at % align == 0)
		return at;
	munmap(at, bytes);
	if (bytes + align < bytes)
		return NULL;
	at = reserve_map(NULL, bytes + align, prot);
	if (!at)
		return NULL;
	size_t before = (align - (uintptr_t)at % align) % align;
	if (before)
		munmap(at, before);
	munmap(at + before + bytes, align - before);
	return at + before;
}

void *port_reserve(size_t bytes, size_t align, bool *on_demand)
{
	*on_demand = false;
	void *at = reserve_aligned(bytes, align, PROT_READ | PROT_WRITE);
	if (!at) {
		*on_demand = true;
		at = reserve_aligned(bytes, align, PROT_READ);
	}
	if (!at)
		return NULL;
	(void)madvise(at, bytes, MADV_NOHUGEPAGE); /* advice: a kernel without huge pages refuses it */
	(void)madvise(at, bytes, MADV_DONTDUMP);
	return at;
}

int port_commit(void *at, size_t bytes)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)at / page * page;
	return mprotect((void *)from, (uintptr_t)at + bytes - from, PROT_READ | PROT_WRITE) == 0 ? 0 : -ENOMEM;
}

void *port_extend(void *at, size_t bytes, size_t to_bytes)
{
	void *then = mremap(at, bytes, to_bytes, MREMAP_MAYMOVE);
	return then == MAP_FAILED ? NULL : then;
}

void *port_pages(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return at == MAP_FAILED ? NULL : at;
}

void port_unreserve(void *at, size_t bytes)
{
	munmap(at, bytes);
}
