/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking pages away, as far as nobody holds them: at once, or once that is so, or not at all. */
#include "fs/taking.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>

#include "failing.h"
#include "pool.h"

enum { MAX_SPANS = 64 };

/* What the pool said about the spans of the mapping whose cookie this is. */
struct heard {
	int taken[MAX_SPANS];
	int told, gone;
};

static struct pool pool;
static sem_t is_waiting; /* posted for each span that is told to be taken */

static void hear_gone(void *cookie, uint64_t first_span, uint64_t nspans)
{
	struct heard *heard = cookie;
	(void)first_span;
	if (heard)
		heard->gone += (int)nspans;
}

static void hear_taking(void *cookie, uint64_t span, int taken)
{
	struct heard *heard = cookie;
	if (heard) {
		assert_true(span < MAX_SPANS && heard->taken[span] != taken);
		heard->taken[span] = taken;
		heard->told++;
	}
	if (taken)
		(void)sem_post(&is_waiting);
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(sem_init(&is_waiting, 0, 0), 0);
	pool_open(&pool, 16 * MIB, 0, hear_gone);
	fsdax_on_taking(pool.fs, hear_taking);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(pgmap_live_pages(pool.pgmap), 0);
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_int_equal(st.waiting, st.lost);
	pool_close(&pool);
	return 0;
}

static struct pgmap_holder *holder(const char *name)
{
	struct pgmap_holder *h;
	assert_int_equal(pgmap_holder_create(pool.pgmap, name, &h), 0);
	return h;
}

static struct fsdax_map *map_heard(struct fsdax_file *file, uint64_t offset, uint64_t len, struct heard *heard)
{
	struct fsdax_map *map;
	assert_int_equal(fsdax_map(file, offset, len, NULL, heard, &map), 0);
	return map;
}

/* A call that waits, in a thread of its own. */
struct call {
	pthread_t thread;
	struct fsdax_file *file;
	const char *path; /* of an unlink, or null */
	uint64_t offset, len, size;
	uint64_t deadline_ns;
	int err;
};

static void *make_call(void *arg)
{
	struct call *c = arg;
	if (c->path)
		c->err = fsdax_unlink_how(pool.fs, c->path, FSDAX_WAIT, c->deadline_ns);
	else if (c->len)
		c->err = fsdax_punch(c->file, c->offset, c->len, FSDAX_WAIT, c->deadline_ns);
	else
		c->err = fsdax_truncate_how(c->file, c->size, FSDAX_WAIT, c->deadline_ns);
	return NULL;
}

/* Comes back when it waits: some span has been told so. */
static void begin_call(struct call *c)
{
	if (!c->deadline_ns)
		c->deadline_ns = PGMAP_NO_DEADLINE;
	assert_int_equal(pthread_create(&c->thread, NULL, make_call, c), 0);
	(void)sem_wait(&is_waiting);
}

static int end_call(struct call *c)
{
	assert_int_equal(pthread_join(c->thread, NULL), 0);
	return c->err;
}

static void c6_7_fail_takes_what_nobody_holds(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 4 * MIB);
	assert_int_equal(fsdax_truncate_how(file, 3 * MIB, FSDAX_FAIL, 0), 0);
	assert_space(&pool, 768, 0);
	assert_int_equal(fsdax_punch(file, 0, MIB, FSDAX_FAIL, 0), 0);
	assert_space(&pool, 512, 0);
	assert_int_equal(fsdax_truncate_how(file, 5 * MIB, FSDAX_FAIL, 0), 0); /* takes nothing, gives */
	assert_space(&pool, 1024, 0);
	assert_int_equal(stat_of(file).size_bytes, 5 * MIB);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink_how(pool.fs, "a", FSDAX_FAIL, 0), 0);
	assert_space(&pool, 0, 0);
	assert_int_equal(fsdax_unlink_how(pool.fs, "a", FSDAX_FAIL, 0), -ENOENT);
}

/* A file of folios of 2 MiB. */
static struct fsdax_file *make_in_steps(const char *path, uint64_t bytes)
{
	struct fsdax_file *file = make_file(&pool, path, 0);
	for (uint64_t size = 2 * MIB; size <= bytes; size += 2 * MIB)
		assert_int_equal(fsdax_truncate(file, size), 0);
	return file;
}

static void assert_refused(struct fsdax_file *file, uint64_t bytes)
{
	struct fsdax_stat before = stat_of(file);
	struct fsdax_statfs space = pool_statfs(&pool);
	assert_int_equal(fsdax_truncate_how(file, 0, FSDAX_FAIL, 0), -EBUSY);
	assert_int_equal(fsdax_truncate_how(file, bytes - PAGE, FSDAX_FAIL, 0), -EBUSY);
	assert_int_equal(fsdax_truncate_how(file, bytes - PAGE, FSDAX_WAIT, 0), -ETIMEDOUT);
	assert_int_equal(fsdax_punch(file, 0, bytes, FSDAX_FAIL, 0), -EBUSY);
	assert_int_equal(fsdax_punch(file, bytes - PAGE, PAGE, FSDAX_WAIT, 0), -ETIMEDOUT);
	assert_int_equal(fsdax_unlink_how(pool.fs, "a", FSDAX_FAIL, 0), -EBUSY);
	assert_int_equal(fsdax_unlink_how(pool.fs, "a", FSDAX_WAIT, 0), -ETIMEDOUT);
	struct fsdax_stat after = stat_of(file);
	assert_int_equal(before.size_bytes, after.size_bytes);
	assert_int_equal(before.blocks, after.blocks);
	assert_int_equal(before.mtime_ns, after.mtime_ns);
	assert_int_equal(before.nlink, after.nlink);
	struct fsdax_statfs now = pool_statfs(&pool);
	assert_int_equal(space.used, now.used);
	assert_int_equal(space.waiting, now.waiting);
}

static void c6_7_what_is_held_is_refused_and_nothing_has_changed(void **state)
{
	(void)state;
	struct heard heard = {0};
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	struct fsdax_map *map = map_heard(file, 0, PAGE, &heard); /* any part of the folio is all of it */
	assert_refused(file, 2 * MIB);
	assert_int_equal(heard.gone, 0);
	assert_int_equal(heard.taken[0], 0);
	assert_int_equal(heard.told, 6); /* those that waited, until they did no more */
	struct fsdax_span span;
	fsdax_map_span(map, 0, &span);
	folio_get(span.folio);
	fsdax_unmap(map);
	assert_refused(file, 2 * MIB); /* any reference */
	folio_put(span.folio);
	assert_int_equal(fsdax_unlink_how(pool.fs, "a", FSDAX_FAIL, 0), -EBUSY); /* open */
	fsdax_close(file);
	assert_int_equal(fsdax_unlink_how(pool.fs, "a", FSDAX_WAIT, 0), 0);
	assert_space(&pool, 0, 0);
}

static void c6_7_a_quarantine_holds_until_its_fence(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	struct pgmap_holder *h = holder("dma");
	struct fsdax_map *map = map_range(file, 0, 2 * MIB, h);
	struct fsdax_span span;
	fsdax_map_span(map, 0, &span);
	assert_int_equal(folio_pin(span.folio, h, FOLIO_PIN_REMOTE), 0);
	assert_int_equal(pgmap_holder_end(h), 512);
	fsdax_unmap_ended(map);
	assert_refused(file, 2 * MIB);
	struct fsdax_file *other = make_file(&pool, "b", PAGE);
	struct heard heard = {0};
	map = map_heard(other, 0, PAGE, &heard);
	struct call c = {.path = "b"}, d = {.file = file};
	fsdax_close(other);
	begin_call(&c);
	d.deadline_ns = PGMAP_NO_DEADLINE;
	assert_int_equal(pthread_create(&d.thread, NULL, make_call, &d), 0);
	assert_int_equal(pgmap_holder_fence(h), 0);
	assert_int_equal(end_call(&d), 0);
	fsdax_unmap(map);
	assert_int_equal(end_call(&c), 0);
	assert_space(&pool, 0, 0);
	fsdax_close(file);
}

static void c6_7_wait_ends_with_the_last_unmap(void **state)
{
	(void)state;
	struct heard heard = {0};
	struct fsdax_file *file = make_in_steps("a", 4 * MIB);
	struct fsdax_map *a = map_heard(file, 0, 4 * MIB, &heard), *b = map_heard(file, 2 * MIB, MIB, NULL), *c;
	fill_map(&pool, a, 'x');
	struct call call = {.file = file, .size = 2 * MIB};
	begin_call(&call);
	assert_int_equal(fsdax_map(file, 2 * MIB, PAGE, NULL, NULL, &c), -EAGAIN);
	assert_int_equal(fsdax_map(file, 0, 4 * MIB, NULL, NULL, &c), -EAGAIN);
	c = map_range(file, 0, 2 * MIB,
		      NULL); /* what stays can be mapped, and is held without anybody's waiting for it */
	fsdax_unmap(a);
	assert_int_equal(stat_of(file).size_bytes, 4 * MIB);
	fsdax_unmap(b);
	assert_int_equal(end_call(&call), 0);
	assert_int_equal(heard.gone, 0);
	assert_true(map_is_all(&pool, c, 'x'));
	assert_space(&pool, 512, 0);
	fsdax_unmap(c);
	fsdax_close(file);
}

static void c6_7_wait_ends_with_any_last_reference(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	struct pgmap_holder *h = holder("h");
	struct heard heard = {0};
	struct fsdax_map *map;
	assert_int_equal(fsdax_map(file, 0, 2 * MIB, h, &heard, &map), 0);
	struct fsdax_span span;
	fsdax_map_span(map, 0, &span);
	folio_get(span.folio);
	struct call call = {.file = file, .len = 2 * MIB};
	begin_call(&call);
	assert_int_equal(pgmap_holder_end(h), 0);
	fsdax_unmap_ended(map);
	assert_int_equal(stat_of(file).blocks, 512);
	folio_put(span.folio); /* the pool hears of it from the core only */
	assert_int_equal(end_call(&call), 0);
	assert_int_equal(stat_of(file).blocks, 0);
	assert_int_equal(stat_of(file).size_bytes, 2 * MIB);
	fsdax_close(file);
}

static void c6_7_unlink_waits_for_who_has_it_open(void **state)
{
	(void)state;
	struct heard heard = {0};
	struct fsdax_file *file = make_file(&pool, "a", MIB), *again;
	struct fsdax_map *map = map_heard(file, 0, MIB, &heard);
	struct call call = {.path = "/a"};
	begin_call(&call);
	fsdax_unmap(map);
	assert_int_equal(fsdax_open(pool.fs, "a", 0, &again), 0); /* opens are not refused */
	fsdax_close(file);
	assert_int_equal(stat_of(again).nlink, 1);
	fsdax_close(again);
	assert_int_equal(end_call(&call), 0);
	assert_space(&pool, 0, 0);
	struct fsdax_stat st;
	assert_int_equal(fsdax_stat(pool.fs, "a", &st), -ENOENT);
}

static void c6_7_the_last_close_wakes_an_unlink(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", MIB);
	struct taking taking = {0};
	assert_int_equal(taking_unlink(&taking, pool.fs, "a"), 0);
	assert_int_equal(taking_begin(&taking, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
	assert_false(taking_woken(&taking)); /* nobody but itself has put anything */
	fsdax_close(file);
	assert_true(taking_woken(&taking));
	assert_int_equal(taking_try(&taking), 0);
	taking_end(&taking);
	assert_space(&pool, 0, 0);
}

static void c6_7_an_unlink_whose_path_leads_elsewhere_is_told(void **state)
{
	(void)state;
	struct heard heard[2] = {{{0}, 0, 0}, {{0}, 0, 0}};
	struct fsdax_file *a = make_file(&pool, "a", MIB), *b = make_file(&pool, "b", MIB);
	struct fsdax_map *ma = map_heard(a, 0, MIB, &heard[0]), *mb = map_heard(b, 0, MIB, &heard[1]);
	struct call first = {.path = "a"}, second = {.path = "b"};
	begin_call(&first);
	assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	assert_int_equal(end_call(&first), -ENOENT);
	begin_call(&second);
	assert_int_equal(fsdax_rename(pool.fs, "b", "c"), 0);
	assert_int_equal(end_call(&second), -ENOENT);
	assert_int_equal(stat_of(b).nlink, 1);
	second.path = "c";
	begin_call(&second);
	fsdax_close(make_file(&pool, "d", PAGE));
	assert_int_equal(fsdax_rename(pool.fs, "d", "c"), 0); /* replaced */
	assert_int_equal(end_call(&second), -ENOENT);
	assert_int_equal(heard[0].taken[0] + heard[1].taken[0], 0);
	fsdax_unmap(ma);
	fsdax_unmap(mb);
	fsdax_close(a);
	fsdax_close(b);
	assert_space(&pool, 1, 0);
}

static void c6_7_who_defers_is_not_waited_for(void **state)
{
	(void)state;
	struct heard heard = {0};
	struct fsdax_file *file = make_in_steps("a", 4 * MIB);
	struct fsdax_map *map = map_heard(file, 0, 4 * MIB, &heard);
	struct call call = {.file = file, .size = MIB};
	begin_call(&call);
	assert_int_equal(fsdax_truncate(file, 0), 0); /* nothing is left to wait for, nor to take away */
	assert_int_equal(end_call(&call), 0);
	assert_int_equal(stat_of(file).size_bytes, 0); /* as if it had been cut twice */
	assert_int_equal(heard.taken[0] + heard.taken[1], 0);
	assert_int_equal(heard.gone, 2);
	assert_space(&pool, 0, 1024);
	fsdax_unmap(map);
	fsdax_close(file);
}

static void c6_7_several_wait_and_one_gives_up(void **state)
{
	(void)state;
	struct heard heard = {0};
	struct fsdax_file *file = make_in_steps("a", 8 * MIB);
	struct fsdax_map *map = map_heard(file, 0, 8 * MIB, &heard);
	assert_int_equal(fsdax_map_nspans(map), 4);
	struct taking patient = {0}, hasty = {0}, other = {0};
	assert_int_equal(taking_punch(&patient, file, 2 * MIB, 4 * MIB), 0);
	assert_int_equal(taking_begin(&patient, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
	assert_int_equal(taking_size(&hasty, file, 4 * MIB + PAGE), 0);
	assert_int_equal(taking_begin(&hasty, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
	assert_int_equal(taking_punch(&other, file, 0, 2 * MIB), 0);
	assert_int_equal(taking_begin(&other, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
	static const int all[] = {1, 1, 1, 1}, rest[] = {1, 1, 1, 0};
	assert_memory_equal(heard.taken, all, sizeof(all));
	assert_int_equal(taking_try(&hasty), -EINPROGRESS);
	taking_end(&hasty);
	assert_memory_equal(heard.taken, rest, sizeof(rest)); /* the patient one still wants the third */
	assert_int_equal(taking_try(&patient), -EINPROGRESS);
	assert_false(taking_woken(&patient));
	fsdax_unmap(map);
	assert_true(taking_woken(&patient));
	assert_int_equal(taking_try(&patient), 0);
	taking_end(&patient);
	assert_int_equal(stat_of(file).blocks, 1024);
	assert_int_equal(taking_try(&other), 0);
	taking_end(&other);
	assert_int_equal(stat_of(file).blocks, 512);
	assert_int_equal(stat_of(file).size_bytes, 8 * MIB);
	fsdax_close(file);
}

static void c6_7_nothing_is_taken_before_a_whole_round_has_found_nothing_held(void **state)
{
	(void)state;
	struct fsdax_file *file = make_in_steps("a", 4 * MIB);
	struct fsdax_map *first = map_range(file, 0, PAGE, NULL), *second = map_range(file, 2 * MIB, PAGE, NULL);
	struct fsdax_span span;
	struct folio *folio;
	struct taking taking = {0};
	fsdax_map_span(first, 0, &span);
	fsdax_unmap(first);
	assert_int_equal(taking_punch(&taking, file, 0, 4 * MIB), 0);
	assert_int_equal(taking_begin(&taking, FSDAX_WAIT, NULL, NULL), -EINPROGRESS); /* it is the second */
	assert_int_equal(pgmap_request_folio(pool.pgmap, span.pgoff, 9, &folio), 0);   /* past the pool */
	fsdax_unmap(second);
	assert_int_equal(taking_try(&taking), -EINPROGRESS);
	folio_put(folio);
	assert_int_equal(taking_try(&taking), 0);
	taking_end(&taking);
	assert_space(&pool, 0, 0);
	fsdax_close(file);
}

static void c7_9_nobody_is_told_any_more_after_a_deadline(void **state)
{
	(void)state;
	struct heard heard = {0};
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	struct fsdax_map *map = map_heard(file, 0, 2 * MIB, &heard), *again;
	struct call call = {.file = file, .size = PAGE, .deadline_ns = pgmap_deadline_in(20)};
	begin_call(&call);
	assert_int_equal(end_call(&call), -ETIMEDOUT);
	assert_int_equal(heard.taken[0], 0);
	assert_int_equal(heard.told, 2);
	assert_int_equal(stat_of(file).size_bytes, 2 * MIB);
	again = map_range(file, 0, 2 * MIB, NULL);
	fsdax_unmap(again);
	fsdax_unmap(map);
	fsdax_close(file);
}

static void c6_7_a_device_that_goes_ends_the_wait(void **state)
{
	(void)state;
	struct heard heard = {0};
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	struct fsdax_map *map = map_heard(file, 0, 2 * MIB, &heard);
	struct taking taking = {0};
	assert_int_equal(taking_size(&taking, file, 0), 0);
	assert_int_equal(taking_begin(&taking, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
	assert_int_equal(pgmap_kill(pool.pgmap), 0);
	assert_int_equal(taking_try(&taking), -ENODEV);
	taking_end(&taking);
	assert_int_equal(fsdax_truncate_how(file, 0, FSDAX_FAIL, 0), -ENODEV);
	assert_int_equal(pgmap_revive(pool.pgmap), 0);
	struct call call = {.file = file};
	begin_call(&call);
	assert_int_equal(dax_kill(pool.dax), 0);
	assert_int_equal(end_call(&call), -ENODEV);
	assert_int_equal(heard.taken[0], 0);
	assert_int_equal(stat_of(file).size_bytes, 2 * MIB);
	fsdax_unmap(map);
	fsdax_close(file);
}

static void c6_7_without_memory_nothing_is_taken(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	struct fsdax_map *map = map_range(file, 0, 2 * MIB, NULL);
	struct taking taking = {0};
	failing_begin(1, true);
	assert_int_equal(taking_size(&taking, file, 0), -ENOMEM);
	assert_int_equal(taking_unlink(&taking, pool.fs, "a"), -ENOMEM);
	assert_true(failing_end());
	fsdax_unmap(map);
	for (unsigned long nth = 1;; nth++) {
		failing_begin(nth, true);
		int err = fsdax_punch(file, MIB, PAGE, FSDAX_WAIT, 0); /* cuts an extent */
		if (!failing_end())
			break;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(stat_of(file).blocks, 512);
	}
	assert_int_equal(stat_of(file).blocks, 511);
	fsdax_close(file);
}

static void arguments_are_checked(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", MIB);
	assert_int_equal(fsdax_truncate_how(file, 0, (enum fsdax_mode)3, 0), -EINVAL);
	assert_int_equal(fsdax_punch(file, 0, PAGE, (enum fsdax_mode)3, 0), -EINVAL);
	assert_int_equal(fsdax_unlink_how(pool.fs, "a", (enum fsdax_mode)3, 0), -EINVAL);
	assert_int_equal(fsdax_truncate_how(NULL, 0, FSDAX_WAIT, 0), -EINVAL);
	assert_int_equal(fsdax_truncate_how(file, 16 * MIB + 1, FSDAX_WAIT, 0), -EFBIG);
	assert_int_equal(fsdax_truncate_how(file, 16 * MIB, FSDAX_WAIT, 0), 0);
	assert_int_equal(fsdax_punch(NULL, 0, PAGE, FSDAX_DEFER, 0), -EINVAL);
	assert_int_equal(fsdax_punch(file, 1, PAGE, FSDAX_DEFER, 0), -EINVAL);
	assert_int_equal(fsdax_punch(file, 0, PAGE + 1, FSDAX_DEFER, 0), -EINVAL);
	assert_int_equal(fsdax_punch(file, 0, 0, FSDAX_DEFER, 0), -EINVAL);
	assert_int_equal(fsdax_punch(file, PAGE, UINT64_MAX - PAGE + 1, FSDAX_DEFER, 0), -EINVAL);
	assert_int_equal(fsdax_unlink_how(NULL, "a", FSDAX_WAIT, 0), -EINVAL);
	assert_int_equal(fsdax_unlink_how(pool.fs, "b/c", FSDAX_WAIT, 0), -ENOENT);
	assert_int_equal(fsdax_mkdir(pool.fs, "d"), 0);
	assert_int_equal(fsdax_unlink_how(pool.fs, "d", FSDAX_WAIT, 0), -EISDIR);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink_how(pool.fs, "a", FSDAX_DEFER, 0), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(c6_7_fail_takes_what_nobody_holds),
		T(c6_7_what_is_held_is_refused_and_nothing_has_changed),
		T(c6_7_a_quarantine_holds_until_its_fence),
		T(c6_7_wait_ends_with_the_last_unmap),
		T(c6_7_wait_ends_with_any_last_reference),
		T(c6_7_unlink_waits_for_who_has_it_open),
		T(c6_7_the_last_close_wakes_an_unlink),
		T(c6_7_an_unlink_whose_path_leads_elsewhere_is_told),
		T(c6_7_who_defers_is_not_waited_for),
		T(c6_7_several_wait_and_one_gives_up),
		T(c6_7_nothing_is_taken_before_a_whole_round_has_found_nothing_held),
		T(c7_9_nobody_is_told_any_more_after_a_deadline),
		T(c6_7_a_device_that_goes_ends_the_wait),
		T(c6_7_without_memory_nothing_is_taken),
		T(arguments_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
