/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * address.c - one contiguous address range made of pieces of devices.
 *
 * The machine maps 2 MiB or 1 GiB with one entry only where address and device offset are congruent modulo that size. So
 * the range begins at an address that is congruent for its first piece that is as large as that; all pieces lie at multiples
 * of their own device's granule, in the file as on the device, and the range lies as in the file modulo the biggest of these: so
 * every piece is congruent modulo its granule at least, without which the system would not map it. A single piece that the system
 * places where it is asked to (or well by chance) costs one call; else the range is reserved first, with room to move, and the pieces are put into
 * it: nobody else can get in between.
 */
#include "client/address.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#include "port/abort.h"

enum { FEW_PIECES = 64, MAX_ORDER = 18 };

static const uint64_t alignments[] = {UINT64_C(1) << 30, UINT64_C(1) << 21};

struct congruence {
	uint64_t modulus, remainder; /* of the range's first address */
};

/* Of the piece's device, or of the pool, where the server says nothing of the device. */
static uint64_t granule_of(const struct address_plan *plan, const struct proto_piece *piece)
{
	uint64_t bytes = UINT64_C(4096) << piece->granule_order;
	return bytes > plan->granule_bytes ? bytes : plan->granule_bytes;
}

static uint64_t biggest_granule(const struct address_plan *plan)
{
	uint64_t biggest = 0;
	for (uint64_t i = 0; i < plan->npieces; i++) {
		uint64_t bytes = granule_of(plan, &plan->pieces[i]);
		biggest = bytes > biggest ? bytes : biggest;
	}
	return biggest;
}

static struct congruence wanted(const struct address_plan *plan)
{
	uint64_t granule = biggest_granule(plan), within = plan->offset_bytes & (granule - 1);
	for (unsigned a = 0; a < sizeof(alignments) / sizeof(alignments[0]); a++) {
		uint64_t size = alignments[a];
		for (uint64_t i = 0; i < plan->npieces && size > granule; i++) {
			const struct proto_piece *p = &plan->pieces[i];
			uint64_t first = p->device_offset_bytes - (p->file_offset_bytes - plan->offset_bytes);
			if (p->len_bytes >= size && (first & (granule - 1)) == within)
				return (struct congruence){size, first & (size - 1)};
		}
	}
	return (struct congruence){granule, within};
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) & ~(to - 1);
}

static int fd_of(const struct address_plan *plan, const struct proto_piece *piece)
{
	return plan->fds[piece->device].fd;
}

/* The pieces make the range exactly, in whole granules but for the file's last page. */
static int check_pieces(const struct address_plan *plan)
{
	uint64_t at = plan->offset_bytes;
	if (plan->npieces == 0 || plan->len_bytes == 0 || plan->len_bytes > INT64_MAX)
		return -EPROTO;
	for (uint64_t i = 0; i < plan->npieces; i++) {
		const struct proto_piece *p = &plan->pieces[i];
		if (p->device >= plan->ndevices || plan->devices[p->device] & PROTO_DEVICE_NONE ||
		    p->file_offset_bytes != at || p->len_bytes == 0 || p->granule_order > MAX_ORDER)
			return -EPROTO;
		if (fd_of(plan, p) < 0)
			return -EPIPE;
		uint64_t granule = granule_of(plan, p);
		if (p->device_offset_bytes % granule || p->file_offset_bytes % granule ||
		    (p->len_bytes % granule && i + 1 < plan->npieces))
			return -EPROTO;
		if (__builtin_add_overflow(at, p->len_bytes, &at))
			return -EPROTO;
	}
	return at - plan->offset_bytes >= plan->len_bytes ? 0 : -EPROTO;
}

/* Mappings that this process has, and may have. False: the system does not tell. */
static int count_mappings(uint64_t *have, uint64_t *most)
{
	unsigned long long limit;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	if (!file)
		return 0;
	int found = fscanf(file, "%llu", &limit) == 1;
	(void)fclose(file);
	file = found ? fopen("/proc/self/maps", "re") : NULL;
	if (!file)
		return 0;
	*have = 0;
	for (int c; (c = getc_unlocked(file)) != EOF;)
		*have += c == '\n';
	(void)fclose(file);
	*most = limit;
	return 1;
}

static int too_many(uint64_t npieces)
{
	uint64_t have, most;
	return count_mappings(&have, &most) && have + npieces + 2 > most;
}

static int congruent(const void *address, struct congruence want)
{
	return ((uintptr_t)address & (want.modulus - 1)) == want.remainder;
}

/*
 * Ranges are put one behind the other. The system by itself would put each before the last one; but files that follow each
 * other on the device must follow each other here for the kernel to make one of their mappings, of which it allows a process
 * only so many, and which it takes down one by one. Room is looked for once, far below what the system gives to others. All
 * of this is hints: where another is quicker, or another thread comes between, the system finds a place, and it is looked for anew.
 */
enum { ROOM_SHIFT = 36 };
static _Atomic uintptr_t frontier, frontier_end; /* behind the last range, up to where there was room; or 0 */
static _Atomic uintptr_t hole, hole_end;         /* where ranges have gone; or 0 */

static uintptr_t load(const _Atomic uintptr_t *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

static void store(_Atomic uintptr_t *at, uintptr_t value)
{
	atomic_store_explicit(at, value, memory_order_relaxed);
}

/* The first congruent address in [from, end) with so many bytes behind it; or 0. */
static uintptr_t fit(uintptr_t from, uintptr_t end, uint64_t bytes, struct congruence want)
{
	uintptr_t at = (from & ~(want.modulus - 1)) + want.remainder;
	if (at < from)
		at += want.modulus;
	return from && at < end && bytes <= end - at ? at : 0;
}

static void look_for_room(void)
{
	uint64_t room = UINT64_C(1) << ROOM_SHIFT;
	void *at = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	store(&frontier, 0);
	if (at == MAP_FAILED)
		return;
	(void)munmap(at, room);
	store(&frontier_end, (uintptr_t)at + room);
	store(&frontier, (uintptr_t)at);
}

static void *hint_for(uint64_t bytes, struct congruence want)
{
	uintptr_t at = fit(load(&hole), load(&hole_end), bytes, want);
	if (!at)
		at = fit(load(&frontier), load(&frontier_end), bytes, want);
	if (!at) {
		look_for_room();
		at = fit(load(&frontier), load(&frontier_end), bytes, want);
	}
	return (void *)at;
}

static void placed(const void *start, uint64_t bytes)
{
	uintptr_t from = (uintptr_t)start, end = from + bytes;
	if (from >= load(&hole) && end <= load(&hole_end)) {
		store(&hole, end);
	} else if (from >= load(&frontier) && end <= load(&frontier_end)) {
		store(&frontier, end);
	} else { /* not where it was hinted: others are there */
		store(&hole, 0);
		store(&frontier, 0);
	}
}

static void gone(const void *start, uint64_t bytes)
{
	uintptr_t from = (uintptr_t)start, end = from + bytes;
	if (end == load(&frontier)) {
		store(&frontier, from);
	} else if (from == load(&hole_end) && load(&hole)) {
		store(&hole_end, end);
	} else {
		uintptr_t last = end == load(&hole) ? load(&hole_end) : end;
		store(&hole, from);
		store(&hole_end, last);
	}
}

static int flags_of(const struct address_plan *plan, const struct proto_piece *piece)
{
	return plan->devices[piece->device] & PROTO_DEVICE_SYNC ? MAP_SHARED_VALIDATE | MAP_SYNC : MAP_SHARED;
}

/* One piece, where the hint or the system puts it; null: not where we need it. */
static void *map_simple(const struct address_plan *plan, uint64_t bytes, struct congruence want)
{
	void *at = mmap(hint_for(bytes, want), bytes, plan->prot, flags_of(plan, plan->pieces),
			fd_of(plan, plan->pieces), (off_t)plan->pieces[0].device_offset_bytes);
	if (at == MAP_FAILED)
		return NULL;
	if (congruent(at, want))
		return at;
	(void)munmap(at, bytes);
	return NULL;
}

static void *reserve(uint64_t bytes, struct congruence want)
{
	uint64_t room = bytes + want.modulus;
	char *at = mmap(hint_for(bytes, want), bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED || congruent(at, want))
		return at == MAP_FAILED ? NULL : at;
	(void)munmap(at, bytes);
	at = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	uint64_t before = (want.remainder - (uintptr_t)at) & (want.modulus - 1);
	uint64_t after = room - before - bytes;
	if (before)
		(void)munmap(at, before);
	if (after)
		(void)munmap(at + before + bytes, after);
	return at + before;
}

static int map_pieces(const struct address_plan *plan, char *start)
{
	for (uint64_t i = 0; i < plan->npieces; i++) {
		const struct proto_piece *p = &plan->pieces[i];
		if (mmap(start + (p->file_offset_bytes - plan->offset_bytes),
			 round_up(p->len_bytes, granule_of(plan, p)), plan->prot, flags_of(plan, p) | MAP_FIXED,
			 fd_of(plan, p), (off_t)p->device_offset_bytes) == MAP_FAILED)
			return address_error();
	}
	return 0;
}

static uint64_t range_bytes(const struct address_plan *plan)
{
	const struct proto_piece *last = &plan->pieces[plan->npieces - 1];
	return round_up(last->file_offset_bytes - plan->offset_bytes + last->len_bytes, granule_of(plan, last));
}

int address_map(const struct address_plan *plan, struct address *out)
{
	int err = check_pieces(plan);
	if (err)
		return err;
	uint64_t bytes = range_bytes(plan);
	struct congruence want = wanted(plan);
	if (plan->npieces > FEW_PIECES && too_many(plan->npieces))
		return -E2BIG;
	void *start = plan->npieces == 1 ? map_simple(plan, bytes, want) : NULL;
	if (!start) {
		start = reserve(bytes, want);
		err = start ? map_pieces(plan, start) : -ENOMEM;
	}
	if (err && start)
		(void)munmap(start, bytes);
	if (err)
		return err == -ENOMEM && too_many(plan->npieces) ? -E2BIG : err;
	*out = (struct address){start, bytes};
	placed(start, bytes);
	return 0;
}

int address_move(const struct address_plan *plan, const struct address *address)
{
	return map_pieces(plan, address->start);
}

/* Addresses that nobody has, for a range that becomes longer. */
static int reserve_at(char *at, uint64_t bytes)
{
	void *got =
		mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (got == at)
		return 0;
	if (got != MAP_FAILED) /* a kernel before 4.17 takes it for a hint */
		(void)munmap(got, bytes);
	return -ENOMEM;
}

int address_change(const struct address_plan *from, const struct address_plan *to, struct address *address)
{
	char *start = address->start;
	int err = check_pieces(to);
	if (err)
		return err;
	uint64_t old = address->bytes, bytes = range_bytes(to);
	if (to->npieces > FEW_PIECES && too_many(to->npieces))
		return -E2BIG;
	err = bytes > old ? reserve_at(start + old, bytes - old) : 0;
	if (err)
		return err;
	err = map_pieces(to, start);
	if (err) { /* room for as many pieces as there were is there again */
		if (map_pieces(from, start) != 0)
			port_abort("pgmap: a mapping at %p can be neither changed nor left as it was: no memory",
				   (void *)start);
		if (bytes > old)
			(void)munmap(start + old, bytes - old);
		return err == -ENOMEM && too_many(to->npieces) ? -E2BIG : err;
	}
	if (bytes < old) {
		(void)munmap(start + bytes, old - bytes);
		gone(start + bytes, old - bytes);
	} else if (bytes > old) {
		placed(start + old, bytes - old);
	}
	address->bytes = bytes;
	return 0;
}

int address_unmap(const struct address *address)
{
	if (munmap(address->start, address->bytes) != 0)
		return -errno;
	gone(address->start, address->bytes);
	return 0;
}
