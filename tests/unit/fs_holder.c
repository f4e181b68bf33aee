/* SPDX-License-Identifier: BSD-3-Clause */
/* A pool's holder: one of each device; what it holds, and its end. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "failing.h"
#include "fs/fs.h"
#include "futex_util.h"
#include "pool.h"

static const uint64_t sizes[] = {2 * MIB, 2 * MIB, 0};
static struct pool pool;

static int open_pool(void **state)
{
	(void)state;
	pool_open_stack(&pool, sizes, 4, NULL);
	return 0;
}

static int open_linear(void **state)
{
	(void)state;
	pool_open_stack(&pool, sizes, 0, NULL);
	return 0;
}

static int close_pool(void **state)
{
	(void)state;
	pool_close_stack(&pool);
	return 0;
}

static struct fsdax_holder *holder(const char *name)
{
	struct fsdax_holder *holder = NULL;
	assert_int_equal(fsdax_holder_create(pool.fs, name, &holder), 0);
	return holder;
}

static struct fsdax_map *map_for(struct fsdax_file *file, uint64_t len, struct fsdax_holder *holder)
{
	struct fsdax_map *map;
	assert_int_equal(fsdax_map_for(file, 0, len, holder, NULL, NULL, &map), 0);
	return map;
}

static void c4_1_references_are_charged_on_every_device(void **state)
{
	(void)state;
	struct fsdax_holder *h = holder("h");
	struct fsdax_file *file = make_file(&pool, "a", 1 * MIB);
	struct fsdax_map *map = map_for(file, 1 * MIB, h), *more;
	struct pgmap_charge charge, each;
	fsdax_holder_charge(h, &charge);
	assert_int_equal(charge.pages, 256);
	assert_int_equal(charge.refs, fsdax_map_nspans(map));
	for (unsigned i = 0; i < 2; i++) {
		struct pgmap_holder *part = fsdax_holder_of(h, dax_pgmap(pool.parts[i].dax));
		pgmap_holder_charge(part, &each);
		assert_int_equal(each.pages, 128);
		assert_string_equal(pgmap_holder_name(part), "h");
	}
	assert_string_equal(fsdax_holder_name(h), "h");
	assert_int_equal(fsdax_resize_map_for(file, 2 * MIB, 0, h, NULL, NULL, &more), 0);
	fsdax_holder_charge(h, &charge);
	assert_int_equal(charge.pages, 512);
	fsdax_unmap(more);
	fsdax_unmap(map);
	fsdax_holder_charge(h, &charge);
	assert_int_equal(charge.refs, 0);
	assert_int_equal(fsdax_holder_end(h), 0);
	fsdax_close(file);
}

static void c4_2_its_end_lets_go_on_every_device(void **state)
{
	(void)state;
	struct fsdax_holder *h = holder("h"), *other = holder("other");
	struct fsdax_file *file = make_file(&pool, "a", 1 * MIB);
	struct fsdax_map *map = map_for(file, 1 * MIB, h), *others = map_for(file, 64 * KIB, other);
	assert_int_equal(pool_live_pages(&pool), 256);
	assert_int_equal(fsdax_holder_end(h), 0);
	fsdax_unmap_ended(map);
	assert_int_equal(pool_live_pages(&pool), 16);
	fsdax_unmap(others);
	assert_int_equal(pool_live_pages(&pool), 0);
	assert_int_equal(fsdax_holder_end(other), 0);
	fsdax_close(file);
}

static void c7_5_remote_pins_on_two_devices_are_quarantined_until_fenced(void **state)
{
	(void)state;
	struct fsdax_holder *h = holder("dma");
	struct fsdax_file *file = make_file(&pool, "a", 1 * MIB);
	struct fsdax_map *map = map_for(file, 1 * MIB, h), *more = NULL;
	for (uint64_t i = 0; i < 2; i++) { /* neighbours lie on different devices */
		struct fsdax_span span;
		fsdax_map_span(map, i, &span);
		struct pgmap_holder *part = fsdax_holder_of(h, folio_pgmap(span.folio));
		assert_int_equal(folio_pin(span.folio, part, FOLIO_PIN_REMOTE), 0);
	}
	assert_int_equal(fsdax_holder_fence(h), -EBUSY);
	assert_int_equal(fsdax_holder_end(h), 8);
	fsdax_unmap_ended(map);
	assert_int_equal(fsdax_holder_end(h), 8);
	assert_int_equal(fsdax_map_for(file, 0, 1 * MIB, h, NULL, NULL, &more), -ESHUTDOWN);
	assert_int_equal(fsdax_map(file, 0, PAGE, NULL, NULL, &more), -EBUSY);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	assert_space(&pool, 0, 8);
	assert_int_equal(fsdax_destroy(pool.fs), -EBUSY);
	assert_int_equal(fsdax_holder_fence(h), 0);
	assert_space(&pool, 0, 0);
}

static void a_holder_of_one_pgmap_or_another_pool_is_refused(void **state)
{
	(void)state;
	struct pool other;
	struct pgmap_holder *one;
	struct fsdax_holder *stranger, *own;
	struct fsdax_map *map = NULL;
	struct fsdax_file *file = make_file(&pool, "a", PAGE), *others;
	assert_int_equal(pgmap_holder_create(dax_pgmap(pool.parts[0].dax), "one", &one), 0);
	assert_int_equal(fsdax_map(file, 0, PAGE, one, NULL, &map), -EINVAL);
	assert_int_equal(fsdax_resize_map(file, 2 * PAGE, 0, one, NULL, NULL, &map), -EINVAL);
	assert_int_equal(pgmap_holder_end(one), 0);
	pool_open(&other, 1 * MIB, 0, NULL);
	assert_int_equal(fsdax_holder_create(other.fs, "stranger", &stranger), 0);
	assert_int_equal(fsdax_truncate(file, 8 * PAGE), 0); /* on both devices */
	assert_int_equal(fsdax_map_for(file, 0, PAGE, stranger, NULL, NULL, &map), -EINVAL);
	assert_int_equal(fsdax_map_for(file, 4 * PAGE, PAGE, stranger, NULL, NULL, &map), -EINVAL);
	assert_null(map);
	others = make_file(&other, "b", PAGE); /* where there is one pgmap, both kinds are good */
	assert_int_equal(fsdax_map_for(others, 0, PAGE, stranger, NULL, NULL, &map), 0);
	assert_ptr_equal(fsdax_holder_of(stranger, other.pgmap), fsdax_holder_of(stranger, other.pgmap));
	assert_null(fsdax_holder_of(stranger, dax_pgmap(pool.parts[0].dax)));
	fsdax_unmap(map);
	fsdax_close(others);
	assert_int_equal(fsdax_holder_end(stranger), 0);
	pool_close(&other);
	assert_int_equal(stat_of(file).size_bytes, 8 * PAGE);
	own = holder("own");
	assert_int_equal(fsdax_holder_end(own), 0);
	assert_int_equal(fsdax_holder_end(NULL), -EINVAL);
	assert_int_equal(fsdax_holder_fence(NULL), -EINVAL);
	assert_int_equal(fsdax_holder_create(pool.fs, NULL, &own), -EINVAL);
	fsdax_close(file);
}

static void leave(unsigned index)
{
	assert_int_equal(fsdax_leave_begin(pool.fs, index, NULL), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, index, NULL), 0);
}

/* That of the device which is the only one now; others have been there. */
static void a_holder_of_one_pgmap_serves_when_the_others_have_left(void **state)
{
	(void)state;
	struct pgmap_holder *first, *second;
	struct fsdax_map *map = NULL;
	struct fsdax_file *file = make_file(&pool, "a", PAGE);
	assert_int_equal(pgmap_holder_create(dax_pgmap(pool.parts[0].dax), "first", &first), 0);
	assert_int_equal(pgmap_holder_create(dax_pgmap(pool.parts[1].dax), "second", &second), 0);
	assert_int_equal(fsdax_map(file, 0, PAGE, first, NULL, &map), -EINVAL);
	leave(1);
	fsdax_unmap(map_range(file, 0, PAGE, first));
	assert_int_equal(fsdax_map(file, 0, PAGE, second, NULL, &map), -EINVAL); /* of no device of the pool's */
	assert_int_equal(pgmap_holder_end(second), 0);
	assert_int_equal(dax_destroy(pool.parts[1].dax), 0);
	assert_int_equal(munmap(pool.parts[1].mem, pool.parts[1].bytes), 0);
	dev_close(pool.parts[1].dev);
	pool_part_open(&pool.parts[1], sizes[1], 0, 0);
	assert_int_equal(fsdax_add_device(pool.fs, pool.parts[1].dax, NULL), 0);
	assert_int_equal(pgmap_holder_create(dax_pgmap(pool.parts[1].dax), "second", &second), 0);
	assert_int_equal(fsdax_map(file, 0, PAGE, first, NULL, &map), -EINVAL);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	leave(0);
	file = make_file(&pool, "b", PAGE);
	fsdax_unmap(map_range(file, 0, PAGE, second));
	assert_int_equal(fsdax_map(file, 0, PAGE, first, NULL, &map), -EINVAL);
	assert_null(map);
	assert_int_equal(pgmap_holder_end(first), 0);
	assert_int_equal(pgmap_holder_end(second), 0);
	fsdax_close(file);
}

static void a_pool_is_not_destroyed_under_its_holders(void **state)
{
	(void)state;
	struct fsdax_holder *h = holder("h"), *more;
	assert_int_equal(fsdax_destroy(pool.fs), -EBUSY);
	more = holder("more");
	assert_int_equal(fsdax_holder_end(h), 0);
	assert_int_equal(fsdax_destroy(pool.fs), -EBUSY);
	assert_int_equal(fsdax_holder_end(more), 0);
}

static void without_memory_there_is_no_holder_and_none_left(void **state)
{
	(void)state;
	struct fsdax_holder *h = NULL;
	int err = -ENOMEM;
	for (unsigned long nth = 1; err; nth++) {
		failing_begin(nth, true);
		err = fsdax_holder_create(pool.fs, "h", &h);
		(void)failing_end();
		assert_true(!err || err == -ENOMEM);
	}
	assert_int_equal(fsdax_holder_end(h), 0);
}

/* A punch splits what several hold, on whichever device it is: each keeps its references. */
static void c3_18_a_split_keeps_every_holders_references(void **state)
{
	(void)state;
	struct fsdax_holder *h = holder("h"), *g = holder("g");
	struct fsdax_file *file = make_file(&pool, "a", 16 * 4 * PAGE);
	struct fsdax_map *map = map_for(file, 64 * PAGE, h), *more = map_for(file, 64 * PAGE, g);
	assert_int_equal(fsdax_punch(file, 5 * PAGE, 6 * PAGE, FSDAX_DEFER, 0), 0);
	assert_space(&pool, 58, 6);
	fsdax_unmap(map);
	assert_space(&pool, 58, 6);
	assert_int_equal(fsdax_holder_end(g), 0);
	fsdax_unmap_ended(more);
	assert_space(&pool, 58, 0);
	assert_int_equal(fsdax_holder_end(h), 0);
	fsdax_close(file);
}

/* The end of a holder in another thread, begun in the middle of a call of the pool's. */
static struct {
	struct fsdax_holder *holder; /* null: none is wanted */
	pthread_t thread;
	_Atomic pid_t tid;
	atomic_bool done;
	int64_t pages; /* its answer */
	bool beside;   /* it was over before the call went on */
} ending;

static void *run_end(void *arg)
{
	atomic_store(&ending.tid, gettid());
	ending.pages = fsdax_holder_end(arg);
	atomic_store(&ending.done, true);
	return NULL;
}

/* Goes on when it is over, or waits for this lock. */
static void end_beside(const void *lock, size_t bytes)
{
	struct fsdax_holder *holder = ending.holder;
	if (!holder)
		return;
	ending.holder = NULL;
	ending.tid = 0;
	ending.done = false;
	assert_int_equal(pthread_create(&ending.thread, NULL, run_end, holder), 0);
	while (!ending.tid || (!ending.done && !is_in_futex(ending.tid, lock, bytes)))
		(void)sched_yield();
	ending.beside = ending.done;
}

static void join_end(void)
{
	assert_int_equal(pthread_join(ending.thread, NULL), 0);
	assert_false(ending.beside);
	assert_int_equal(ending.pages, 4);
}

int __real_folio_charge(struct folio *folio, struct pgmap_holder *holder);
int __wrap_folio_charge(struct folio *folio, struct pgmap_holder *holder);
int __wrap_folio_charge(struct folio *folio, struct pgmap_holder *holder)
{
	end_beside(&pool.fs->lock, sizeof(pool.fs->lock));
	return __real_folio_charge(folio, holder);
}

void __real_pgmap_holder_charge(const struct pgmap_holder *holder, struct pgmap_charge *out);
void __wrap_pgmap_holder_charge(const struct pgmap_holder *holder, struct pgmap_charge *out);
void __wrap_pgmap_holder_charge(const struct pgmap_holder *holder, struct pgmap_charge *out)
{
	end_beside(&pool.fs->holders.lock, sizeof(pool.fs->holders.lock));
	__real_pgmap_holder_charge(holder, out);
}

/* With a remote pin on the file's first pages: so its handle stays when it has been ended. */
static struct fsdax_map *map_and_pin(struct fsdax_file *file, struct fsdax_holder *holder)
{
	struct fsdax_map *map = map_for(file, 4 * PAGE, holder);
	struct fsdax_span span;
	fsdax_map_span(map, 0, &span);
	assert_int_equal(folio_pin(span.folio, fsdax_holder_of(holder, folio_pgmap(span.folio)), FOLIO_PIN_REMOTE), 0);
	return map;
}

static void c4_2_an_end_lets_go_of_what_is_just_being_mapped(void **state)
{
	(void)state;
	struct fsdax_holder *h = holder("h");
	struct fsdax_file *file = make_file(&pool, "a", 64 * PAGE);
	struct fsdax_map *map = map_and_pin(file, h), *more = NULL;
	ending.holder = h;
	assert_int_equal(fsdax_map_for(file, 4 * PAGE, 60 * PAGE, h, NULL, NULL, &more), 0);
	join_end();
	fsdax_unmap_ended(map);
	fsdax_unmap_ended(more);
	assert_int_equal(pool_live_pages(&pool), 4);
	assert_int_equal(fsdax_holder_fence(h), 0);
	assert_int_equal(pool_live_pages(&pool), 0);
	fsdax_close(file);
}

static void what_is_charged_is_counted_before_an_end_or_behind_it(void **state)
{
	(void)state;
	struct fsdax_holder *h = holder("h");
	struct fsdax_file *file = make_file(&pool, "a", 64 * PAGE);
	struct fsdax_map *map = map_and_pin(file, h), *more;
	struct pgmap_charge charge;
	assert_int_equal(fsdax_map_for(file, 4 * PAGE, 60 * PAGE, h, NULL, NULL, &more), 0);
	ending.holder = h;
	fsdax_holder_charge(h, &charge);
	join_end();
	assert_int_equal(charge.pages, 64);
	fsdax_holder_charge(h, &charge);
	assert_int_equal(charge.pages, 4);
	fsdax_unmap_ended(map);
	fsdax_unmap_ended(more);
	assert_int_equal(fsdax_holder_fence(h), 0);
	fsdax_close(file);
}

/* Ends beside maps and questions. */
enum { ROUNDS = 1000 };
static pthread_barrier_t step;
static struct fsdax_holder *stormed;

static void *storm_end(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		(void)pthread_barrier_wait(&step);
		*(int64_t *)arg = fsdax_holder_end(stormed);
		(void)pthread_barrier_wait(&step);
	}
	return NULL;
}

static void *storm_ask(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		(void)pthread_barrier_wait(&step);
		fsdax_holder_charge(stormed, arg);
		(void)pthread_barrier_wait(&step);
	}
	return NULL;
}

static void c4_2_a_storm_of_ends_leaves_nothing_charged(void **state)
{
	(void)state;
	pthread_t ender, asker;
	struct pgmap_charge charge;
	int64_t pages = 0;
	struct fsdax_file *file = make_file(&pool, "a", 512 * PAGE);
	assert_int_equal(pthread_barrier_init(&step, NULL, 3), 0);
	assert_int_equal(pthread_create(&ender, NULL, storm_end, &pages), 0);
	assert_int_equal(pthread_create(&asker, NULL, storm_ask, &charge), 0);
	for (int i = 0; i < ROUNDS; i++) {
		struct fsdax_map *more = NULL;
		stormed = holder("h");
		struct fsdax_map *map = map_and_pin(file, stormed);
		(void)pthread_barrier_wait(&step);
		int err = fsdax_map_for(file, 4 * PAGE, 508 * PAGE, stormed, NULL, NULL, &more);
		(void)pthread_barrier_wait(&step);
		assert_true(err == 0 || err == -ESHUTDOWN);
		assert_int_equal(pages, 4);
		assert_int_equal(pool_live_pages(&pool), 4);
		fsdax_unmap_ended(map);
		fsdax_unmap_ended(more);
		assert_int_equal(fsdax_holder_fence(stormed), 0);
	}
	assert_int_equal(pthread_join(ender, NULL), 0);
	assert_int_equal(pthread_join(asker, NULL), 0);
	assert_int_equal(pthread_barrier_destroy(&step), 0);
	assert_int_equal(pool_live_pages(&pool), 0);
	fsdax_close(file);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(c4_1_references_are_charged_on_every_device, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(c4_2_its_end_lets_go_on_every_device, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(c7_5_remote_pins_on_two_devices_are_quarantined_until_fenced, open_pool,
						close_pool),
		cmocka_unit_test_setup_teardown(a_holder_of_one_pgmap_or_another_pool_is_refused, open_pool,
						close_pool),
		cmocka_unit_test_setup_teardown(a_holder_of_one_pgmap_serves_when_the_others_have_left, open_linear,
						close_pool),
		cmocka_unit_test_setup_teardown(a_pool_is_not_destroyed_under_its_holders, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(without_memory_there_is_no_holder_and_none_left, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(c3_18_a_split_keeps_every_holders_references, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(c4_2_an_end_lets_go_of_what_is_just_being_mapped, open_pool,
						close_pool),
		cmocka_unit_test_setup_teardown(what_is_charged_is_counted_before_an_end_or_behind_it, open_pool,
						close_pool),
		cmocka_unit_test_setup_teardown(c4_2_a_storm_of_ends_leaves_nothing_charged, open_pool, close_pool),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
