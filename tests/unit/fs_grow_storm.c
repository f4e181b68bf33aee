/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Devices come and go under a pool that four threads use as they like. A device that has gone is unmapped and closed at once: a
 * page of it that somebody still has, or gets later, ends the program.
 *
 * Watched from outside: a fresh page is zero (c6.9), one that is mapped keeps its bytes (c6.8), a page that is handed out can be
 * mapped, whatever leaves at that moment, and the accounts are exact at every one (c6.10). A build with -Dfault=leave must fail
 * here; scripts/test (suite faults) sees to that.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "pool.h"

enum { WORKERS = 3, SLOTS = 6, MAX_PAGES = 260, ROUNDS = 3000, DEVICES = 5, LOOKS = 200 };

static uint64_t rnd(uint64_t *seed, uint64_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed % n;
}

static struct pool pool;
static atomic_int working;

/* A file, or what it left: a mapping that has what it wrote, for as long as it is there. */
struct slot {
	struct fsdax_file *file;
	struct fsdax_map *map;
	struct fsdax_holder *holder;
	struct folio *pinned;
	char name[16], byte;
	bool unlinked; /* before its end */
};

/* In a worker: cmocka's assertions are for the thread that runs the test. */
static atomic_int failed_line;

static void watch_failed(int line)
{
	int none = 0;
	(void)atomic_compare_exchange_strong(&failed_line, &none, line);
	(void)atomic_fetch_sub(&working, 1);
	pthread_exit(NULL);
}

#define WATCH(truth) ((truth) ? (void)0 : watch_failed(__LINE__))

static void check(const struct slot *slot, char byte)
{
	for (uint64_t i = 0; i < fsdax_map_nspans(slot->map); i++) {
		struct fsdax_span span;
		fsdax_map_span(slot->map, i, &span);
		WATCH(is_all(folio_address(span.folio), PAGE << span.order, byte));
	}
}

static void write_all(struct slot *slot, char byte)
{
	for (uint64_t i = 0; i < fsdax_map_nspans(slot->map); i++) {
		struct fsdax_span span;
		fsdax_map_span(slot->map, i, &span);
		memset(folio_address(span.folio), byte, PAGE << span.order);
	}
	slot->byte = byte;
}

static void pin_one(struct slot *slot, uint64_t *seed)
{
	struct fsdax_span span;
	fsdax_map_span(slot->map, rnd(seed, fsdax_map_nspans(slot->map)), &span);
	struct pgmap_holder *part = fsdax_holder_of(slot->holder, folio_pgmap(span.folio));
	WATCH(part);
	WATCH(folio_pin(span.folio, part, FOLIO_PIN_LOCAL) == 0);
	slot->pinned = span.folio;
}

static void make(struct slot *slot, uint64_t *seed)
{
	uint64_t pages = 1 + rnd(seed, MAX_PAGES);
	WATCH(fsdax_open(pool.fs, slot->name, FSDAX_CREATE | FSDAX_EXCL, &slot->file) == 0);
	int err = fsdax_truncate(slot->file, pages * PAGE);
	if (!err && rnd(seed, 3) == 0) /* then the map gets other pages for the hole */
		WATCH(fsdax_punch(slot->file, 0, pages / 2 * PAGE + PAGE, FSDAX_DEFER, 0) == 0);
	if (!err) {
		WATCH(fsdax_holder_create(pool.fs, slot->name, &slot->holder) == 0);
		err = fsdax_map_for(slot->file, 0, pages * PAGE, slot->holder, NULL, NULL, &slot->map);
	}
	WATCH(err == 0 || err == -ENOSPC || err == -EFBIG);
	if (slot->map) {
		check(slot, 0);
		write_all(slot, (char)(1 + rnd(seed, 100)));
		if (rnd(seed, 4) == 0)
			pin_one(slot, seed);
	} else if (slot->holder) {
		WATCH(fsdax_holder_end(slot->holder) == 0);
		slot->holder = NULL;
	}
}

/* The file loses its pages, and the mapping keeps them; or it loses its name. */
static void lose(struct slot *slot, uint64_t *seed)
{
	struct fsdax_stat st;
	(void)fsdax_stat_file(slot->file, &st);
	if (!slot->unlinked && rnd(seed, 3) == 0) {
		WATCH(fsdax_unlink(pool.fs, slot->name) == 0);
		slot->unlinked = true;
	} else if (rnd(seed, 2)) {
		WATCH(fsdax_truncate(slot->file, 0) == 0);
	} else if (st.size_bytes) {
		WATCH(fsdax_punch(slot->file, 0, st.size_bytes, FSDAX_DEFER, 0) == 0);
	}
}

static void end(struct slot *slot, uint64_t *seed)
{
	if (slot->map) {
		check(slot, slot->byte);
		bool ended = rnd(seed, 2);
		if (slot->pinned && !ended)
			folio_unpin(slot->pinned, fsdax_holder_of(slot->holder, folio_pgmap(slot->pinned)),
				    FOLIO_PIN_LOCAL);
		if (!ended)
			fsdax_unmap(slot->map);
		WATCH(fsdax_holder_end(slot->holder) == 0);
		if (ended)
			fsdax_unmap_ended(slot->map);
	}
	WATCH(slot->unlinked || fsdax_unlink(pool.fs, slot->name) == 0);
	fsdax_close(slot->file);
	slot->unlinked = false;
	slot->file = NULL;
	slot->map = NULL;
	slot->holder = NULL;
	slot->pinned = NULL;
}

static void *work(void *arg)
{
	unsigned number = (unsigned)(uintptr_t)arg;
	uint64_t seed = 20261121 + 977 * number;
	struct slot slots[SLOTS] = {{0}};
	for (int i = 0; i < SLOTS; i++)
		(void)snprintf(slots[i].name, sizeof(slots[i].name), "w%uf%d", number, i);
	for (int round = 0; round < ROUNDS; round++) {
		struct slot *slot = &slots[rnd(&seed, SLOTS)];
		if (!slot->file)
			make(slot, &seed);
		else if (rnd(&seed, 2))
			lose(slot, &seed);
		else
			end(slot, &seed);
	}
	for (int i = 0; i < SLOTS; i++) {
		if (slots[i].file)
			end(&slots[i], &seed);
	}
	(void)atomic_fetch_sub(&working, 1);
	return NULL;
}

/* The devices, by their numbers in the pool. */
static struct pool_part *devices[DEVICES];

/* It stays where it is: its device knows what is in it. */
static struct pool_part *open_part(uint64_t pages, uint64_t start_pages)
{
	struct pool_part *part = calloc(1, sizeof(*part));
	assert_non_null(part);
	pool_part_open(part, pages * PAGE, start_pages, 0);
	return part;
}

static void come(uint64_t *seed)
{
	struct pool_part *part = open_part(100 + rnd(seed, 500), rnd(seed, 9));
	unsigned index = DEVICES;
	assert_int_equal(fsdax_add_device(pool.fs, part->dax, &index), 0);
	assert_true(index < DEVICES && !devices[index]);
	devices[index] = part;
}

static void close_part(unsigned index)
{
	struct pool_part *part = devices[index];
	assert_int_equal(dax_destroy(part->dax), 0);
	assert_int_equal(munmap(part->mem, part->bytes), 0);
	dev_close(part->dev);
	free(part);
	devices[index] = NULL;
}

/* It goes, if whoever holds pages there gives them up soon; or it stays. */
static int leave(unsigned index, uint64_t *seed)
{
	struct fsdax_owned owned;
	struct dax_device *part;
	uint64_t pages = 1;
	int err = fsdax_leave_begin(pool.fs, index, &owned);
	assert_true(err == 0 || err == -EBUSY);
	if (err)
		return 0;
	for (int i = 0; i < LOOKS && pages; i++) {
		assert_int_equal(fsdax_leave_held(pool.fs, index, &pages), 0);
		(void)sched_yield();
	}
	err = rnd(seed, 4) ? fsdax_leave_end(pool.fs, index, &part) : -EBUSY;
	assert_true(err == 0 || err == -EBUSY);
	if (err) {
		assert_int_equal(fsdax_leave_cancel(pool.fs, index), 0);
		return 0;
	}
	assert_ptr_equal(part, devices[index]->dax);
	close_part(index);
	return 1;
}

static void move(uint64_t *seed, unsigned *went)
{
	unsigned index = (unsigned)rnd(seed, DEVICES), there = 0;
	for (unsigned i = 0; i < DEVICES; i++)
		there += devices[i] != NULL;
	if (devices[index] && there > 1)
		*went += (unsigned)leave(index, seed);
	else if (there < DEVICES)
		come(seed);
}

static uint64_t devices_pages(void)
{
	struct fsdax_device device;
	uint64_t pages = 0;
	for (unsigned i = 0; i < fsdax_ndevices(pool.fs); i++)
		pages += fsdax_device(pool.fs, i, &device) == 0 ? device.pool_npages : 0;
	return pages;
}

/* Every page can be had, once, and is zero. */
static void check_all_are_there(void)
{
	struct fsdax_statfs st = pool_statfs(&pool);
	struct fsdax_map *map;
	assert_true(st.used == 0 && st.waiting == 0 && st.free == devices_pages());
	struct fsdax_file *file = make_file(&pool, "all", st.pages * PAGE);
	assert_int_equal(fsdax_map_for(file, 0, st.pages * PAGE, NULL, NULL, NULL, &map), 0);
	uint64_t pages = 0;
	for (uint64_t i = 0; i < fsdax_map_nspans(map); i++) {
		struct fsdax_span span;
		fsdax_map_span(map, i, &span);
		for (uint64_t page = 0; page < UINT64_C(1) << span.order; page++, pages++) {
			char *at = (char *)folio_address(span.folio) + page * PAGE;
			assert_true(is_all(at, PAGE, 0));
			memset(at, 1, PAGE); /* of two files it would not be zero any more */
		}
	}
	assert_int_equal(pages, st.pages);
	fsdax_unmap(map);
	fsdax_close(file);
}

static void storm(unsigned wiper_percent)
{
	pthread_t threads[WORKERS];
	uint64_t seed = 4711 + wiper_percent;
	unsigned went = 0, moves = 0;
	const struct dax_part none = {NULL, 0, 0};
	struct dax_part first = none;
	pool = (struct pool){0};
	devices[0] = open_part(400, 0);
	first.dax = devices[0]->dax;
	assert_int_equal(dax_create_linear(&first, 1, NULL, &pool.dax), 0);
	assert_int_equal(fsdax_create(pool.dax, NULL, &pool.fs), 0);
	assert_int_equal(fsdax_set_wiping(pool.fs, (uint64_t)100 * PAGE, wiper_percent), 0);
	atomic_store(&working, WORKERS);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i), 0);
	while ((atomic_load(&working) || went == 0) && !atomic_load(&failed_line)) {
		move(&seed, &went);
		(void)pool_statfs(&pool);
		moves++;
	}
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(atomic_load(&failed_line), 0);
	check_all_are_there();
	print_message("%u moves, %u devices went\n", moves, went);
	assert_int_equal(fsdax_destroy(pool.fs), 0);
	assert_int_equal(dax_destroy(pool.dax), 0);
	for (unsigned i = 0; i < DEVICES; i++) {
		if (devices[i])
			close_part(i);
	}
}

static void c6_10_devices_come_and_go_under_a_storm(void **state)
{
	(void)state;
	storm(0);
}

static void c6_10_devices_come_and_go_while_pages_are_wiped(void **state)
{
	(void)state;
	storm(50);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c6_10_devices_come_and_go_under_a_storm),
		cmocka_unit_test(c6_10_devices_come_and_go_while_pages_are_wiped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
