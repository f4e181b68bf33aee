/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices that leave a pool in use: begin, what is waited for, cancel, end; what is refused, and what never gets a page there. */
#include <errno.h>
#include <pthread.h>

#include "fs/fs.h"

#include "failing.h"
#include "leave_util.h"

static void c6_10_a_device_leaves_and_the_size_with_it(void **state)
{
	(void)state;
	struct fsdax_device device;
	struct dax_device *part = NULL;
	memset(&owned, 1, sizeof(owned));
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, &owned), 0);
	assert_owned(0, 0, "");
	assert_int_equal(pgmap_state(dax_pgmap(pool.parts[1].dax)), PGMAP_DYING);
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_true(st.pages == A + B && st.free == A && st.waiting == B && st.lost == 0);
	assert_int_equal(fsdax_device(pool.fs, 1, &device), 0);
	assert_true(device.leaving && device.pool_npages == B);
	assert_int_equal(held(1), 0);
	struct fsdax_file *file = fill("f"), *more;
	assert_int_equal(fsdax_open(pool.fs, "more", FSDAX_CREATE, &more), 0);
	assert_int_equal(fsdax_truncate(more, PAGE), -ENOSPC);
	fsdax_close(more);
	struct fsdax_map *map = map_range(file, 0, (uint64_t)A * PAGE, NULL);
	for (uint64_t i = 0; i < fsdax_map_npieces(map); i++) {
		struct fsdax_piece piece;
		fsdax_map_piece(map, i, &piece);
		assert_int_equal(piece.device, 0);
	}
	assert_int_equal(fsdax_leave_end(pool.fs, 1, &part), 0);
	assert_ptr_equal(part, pool.parts[1].dax);
	st = pool_statfs(&pool);
	assert_true(st.pages == A && st.used == A && st.free == 0 && st.waiting == 0);
	assert_int_equal(fsdax_device(pool.fs, 1, &device), -EINVAL);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), -EINVAL);
	assert_int_equal(fsdax_truncate(file, (uint64_t)(A + 1) * PAGE), -EFBIG);
	assert_int_equal(pgmap_state(dax_pgmap(part)), PGMAP_DEAD);
	assert_int_equal(dax_destroy(part), 0); /* nobody else has it */
	assert_int_equal(munmap(pool.parts[1].mem, pool.parts[1].bytes), 0);
	dev_close(pool.parts[1].dev);
	pool_part_open(&pool.parts[1], (uint64_t)B * PAGE, 0, 0);
	fill_map(&pool, map, 3);
	fsdax_unmap(map);
	fsdax_close(file);
}

static void its_number_is_the_next_devices(void **state)
{
	(void)state;
	struct fsdax_holder *holder;
	struct fsdax_device device;
	struct fsdax_map *map;
	unsigned index = 99;
	assert_int_equal(fsdax_add_device(pool.fs, pool.parts[2].dax, &index), 0);
	assert_int_equal(index, 2);
	assert_int_equal(fsdax_holder_create(pool.fs, "h", &holder), 0);
	assert_int_equal(fsdax_leave_begin(pool.fs, 0, NULL), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 0, NULL), 0);
	assert_int_equal(fsdax_ndevices(pool.fs), 3);
	assert_null(fsdax_holder_of(holder, dax_pgmap(pool.parts[0].dax)));
	struct fsdax_file *file = fill("f");
	assert_int_equal(fsdax_map_for(file, 0, (uint64_t)(B + C) * PAGE, holder, NULL, NULL, &map), 0);
	fill_map(&pool, map, 1);
	struct pool_part again;
	pool_part_open(&again, (uint64_t)33 * PAGE, 0, 0);
	assert_int_equal(fsdax_add_device(pool.fs, again.dax, &index), 0);
	assert_int_equal(index, 0);
	assert_int_equal(fsdax_device(pool.fs, 0, &device), 0);
	assert_ptr_equal(device.pgmap, dax_pgmap(again.dax));
	assert_non_null(fsdax_holder_of(holder, device.pgmap));
	assert_int_equal(pool_statfs(&pool).free, 33);
	struct fsdax_file *other = fill("g");
	assert_int_equal(fsdax_leave_begin(pool.fs, 0, &owned), -EBUSY);
	assert_owned(33, 1, "/g");
	drop("g", other);
	assert_true(map_is_all(&pool, map, 1));
	fsdax_unmap(map);
	assert_int_equal(fsdax_holder_end(holder), 0);
	fsdax_close(file);
	assert_int_equal(fsdax_leave_begin(pool.fs, 0, NULL), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 0, NULL), 0);
	assert_int_equal(dax_destroy(again.dax), 0);
	assert_int_equal(munmap(again.mem, again.bytes), 0);
	dev_close(again.dev);
}

/* It could go when it was asked; the others have died since. */
static void the_last_that_is_alive_does_not_end_its_leave(void **state)
{
	(void)state;
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	assert_int_equal(dax_kill(pool.parts[0].dax), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), -EBUSY);
	assert_int_equal(fsdax_leave_cancel(pool.fs, 1), 0);
	struct fsdax_file *file = make_file(&pool, "f", (uint64_t)B * PAGE);
	fsdax_close(file);
}

static void what_files_own_there_keeps_it(void **state)
{
	(void)state;
	struct fsdax_file *first = make_file(&pool, "first", (uint64_t)(A - 10) * PAGE);
	struct fsdax_file *file = fill("second");
	uint64_t bytes[2] = {0, 0};
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(fsdax_leave_begin(pool.fs, i, &owned), -EBUSY);
		bytes[i] = owned.bytes;
	}
	assert_int_equal(bytes[0] + bytes[1], (uint64_t)(A + B) * PAGE);
	assert_in_range(owned.files, 1, 2);
	assert_int_equal(fsdax_unlink(pool.fs, "first"), 0);
	fsdax_close(first);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, &owned), -EBUSY);
	assert_string_equal(owned.path, "/second");
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_int_equal(st.waiting, 0); /* refused: nothing has changed */
	assert_int_equal(pgmap_state(dax_pgmap(pool.parts[1].dax)), PGMAP_LIVE);
	assert_int_equal(fsdax_unlink(pool.fs, "second"), 0);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, &owned), 0); /* unlinked, but open: it is waited for */
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), -EBUSY);
	fsdax_close(file);
	struct fsdax_file *third = fill("third");
	assert_int_equal(fsdax_leave_begin(pool.fs, 0, &owned), -EBUSY); /* the last that stays */
	assert_owned(0, 0, "");
	fsdax_close(third);
}

static void c6_10_what_a_call_gets_ready_keeps_it(void **state)
{
	(void)state;
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	assert_int_equal(space_alloc(&pool.fs->space, 0, A + B, PGMAP_MAX_ORDER, &blocks), 0); /* in no file yet */
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, &owned), -EBUSY);
	assert_owned(B, 0, "");
	space_give_back(&pool.fs->space, &blocks);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, &owned), 0);
}

struct seen {
	uint64_t pages;
	char name[64];
	enum pgmap_held_state state;
	int answer;
};

static int see(const struct pgmap_held *held, void *arg)
{
	struct seen *seen = arg;
	seen->pages += UINT64_C(1) << held->order;
	(void)snprintf(seen->name, sizeof(seen->name), "%s", held->holder ? held->holder : "");
	seen->state = held->state;
	return seen->answer;
}

/* A file of all of the pool, mapped by a holder, that then loses everything. */
static struct fsdax_map *map_and_lose(struct fsdax_holder *holder, struct fsdax_file **file)
{
	struct fsdax_map *map;
	*file = fill("f");
	assert_int_equal(fsdax_map_for(*file, 0, (uint64_t)(A + B) * PAGE, holder, NULL, NULL, &map), 0);
	fill_map(&pool, map, 8);
	assert_int_equal(fsdax_truncate(*file, 0), 0);
	return map;
}

static void what_is_held_there_is_waited_for(void **state)
{
	(void)state;
	struct fsdax_holder *holder;
	struct fsdax_file *file;
	struct seen seen = {0};
	uint64_t pages;
	assert_int_equal(fsdax_holder_create(pool.fs, "somebody", &holder), 0);
	struct fsdax_map *map = map_and_lose(holder, &file);
	assert_int_equal(fsdax_leave_held(pool.fs, 1, &pages), -EINVAL);
	assert_int_equal(fsdax_leave_for_each_held(pool.fs, 1, see, &seen), -EINVAL);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, &owned), 0);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, &owned), -EALREADY);
	assert_int_equal(held(1), B);
	assert_int_equal(fsdax_leave_for_each_held(pool.fs, 1, see, &seen), 0);
	assert_int_equal(seen.pages, B);
	assert_string_equal(seen.name, "somebody");
	seen.answer = 42;
	assert_int_equal(fsdax_leave_for_each_held(pool.fs, 1, see, &seen), 42);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), -EBUSY);
	assert_true(map_is_all(&pool, map, 8));
	assert_int_equal(pool_statfs(&pool).pages, A + B);
	fsdax_unmap(map);
	assert_int_equal(held(1), 0);
	assert_space(&pool, 0, B);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), 0);
	assert_int_equal(pool_statfs(&pool).pages, A);
	assert_int_equal(fsdax_holder_end(holder), 0);
	fsdax_close(file);
}

/* No folio is there, and yet the pages are a file's. */
static void what_an_open_file_without_a_name_has_is_waited_for(void **state)
{
	(void)state;
	struct fsdax_file *file = fill("f");
	assert_int_equal(fsdax_unlink(pool.fs, "f"), 0);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, &owned), 0);
	assert_int_equal(held(1), B);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), -EBUSY);
	fsdax_close(file);
	assert_int_equal(held(1), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), 0);
}

static void c7_5_what_is_quarantined_there_is_waited_for(void **state)
{
	(void)state;
	struct fsdax_holder *holder;
	struct fsdax_file *file;
	struct fsdax_span span;
	struct seen seen = {0};
	assert_int_equal(fsdax_holder_create(pool.fs, "dma", &holder), 0);
	struct fsdax_map *map = map_and_lose(holder, &file);
	uint64_t i = 0;
	for (fsdax_map_span(map, i, &span); span.device != 1; fsdax_map_span(map, i, &span))
		i++;
	uint64_t pages = UINT64_C(1) << span.order;
	assert_int_equal(folio_pin(span.folio, fsdax_holder_of(holder, folio_pgmap(span.folio)), FOLIO_PIN_REMOTE), 0);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	assert_int_equal(fsdax_holder_end(holder), (int64_t)pages);
	fsdax_unmap_ended(map);
	assert_int_equal(held(1), pages);
	assert_int_equal(fsdax_leave_for_each_held(pool.fs, 1, see, &seen), 0);
	assert_true(seen.pages == pages && seen.state == PGMAP_QUARANTINED);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), -EBUSY);
	assert_int_equal(fsdax_holder_fence(holder), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), 0);
	fsdax_close(file);
}

/* By whoever has the pgmap, with no file. */
static void what_was_requested_past_the_pool_is_waited_for(void **state)
{
	(void)state;
	struct folio *folio;
	struct pgmap *pgmap = dax_pgmap(pool.parts[1].dax);
	assert_int_equal(pgmap_request_folio(pgmap, 8, 3, &folio), 0);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	assert_int_equal(held(1), 8);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), -EBUSY);
	folio_put(folio);
	assert_int_equal(pgmap_request_folio(pgmap, 8, 3, &folio), -ENODEV);
	assert_int_equal(held(1), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), 0);
}

static void assert_same(const struct fsdax_statfs *a, const struct fsdax_statfs *b)
{
	assert_true(a->pages == b->pages && a->used == b->used && a->free == b->free && a->waiting == b->waiting);
	assert_true(a->clean == b->clean && a->dirty == b->dirty && a->absent == b->absent && a->lost == b->lost);
	assert_memory_equal(a->free_by_order, b->free_by_order, sizeof(a->free_by_order));
}

static void called_off_all_is_as_before(void **state)
{
	(void)state;
	struct fsdax_holder *holder;
	struct fsdax_file *file;
	assert_int_equal(fsdax_set_wiping(pool.fs, (uint64_t)(A + B) * PAGE, 0), 0);
	file = make_file(&pool, "g", (uint64_t)(A + B / 2) * PAGE); /* some are dirty then, and some have no memory */
	struct fsdax_map *map = map_range(file, 0, (uint64_t)(A + B / 2) * PAGE, NULL);
	fill_map(&pool, map, 6);
	fsdax_unmap(map);
	drop("g", file);
	struct fsdax_statfs before = pool_statfs(&pool), then;
	assert_int_equal(fsdax_leave_cancel(pool.fs, 1), -EINVAL);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	then = pool_statfs(&pool);
	assert_true(then.free == A && then.dirty + then.clean <= A); /* nobody else counts its memory */
	assert_int_equal(fsdax_leave_cancel(pool.fs, 1), 0);
	then = pool_statfs(&pool);
	assert_same(&then, &before);
	assert_int_equal(pgmap_state(dax_pgmap(pool.parts[1].dax)), PGMAP_LIVE);
	assert_int_equal(fsdax_holder_create(pool.fs, "h", &holder), 0);
	map = map_and_lose(holder, &file);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	assert_int_equal(fsdax_leave_cancel(pool.fs, 1), 0); /* while some of it is held */
	fsdax_unmap(map);
	assert_int_equal(fsdax_holder_end(holder), 0);
	assert_int_equal(fsdax_truncate(file, (uint64_t)(A + B) * PAGE), 0);
	map = map_range(file, 0, (uint64_t)(A + B) * PAGE, NULL);
	assert_true(map_is_all(&pool, map, 0)); /* c6.9: what was dirty still was */
	fsdax_unmap(map);
	fsdax_close(file);
}

static void who_has_drained_it_has_ended_it(void **state)
{
	(void)state;
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	assert_int_equal(pgmap_drain(dax_pgmap(pool.parts[1].dax), PGMAP_NO_DEADLINE), 0);
	assert_int_equal(fsdax_leave_cancel(pool.fs, 1), -ENODEV);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), 0);
}

static void a_pool_that_ends_calls_it_off(void **state)
{
	(void)state;
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	assert_int_equal(fsdax_destroy(pool.fs), 0);
	assert_int_equal(pgmap_state(dax_pgmap(pool.parts[1].dax)), PGMAP_LIVE);
	assert_int_equal(fsdax_create(pool.dax, NULL, &pool.fs), 0);
}

static void only_a_part_of_its_own_can_leave(void **state)
{
	(void)state;
	struct pool other;
	struct dax_device *stripe, *linear;
	pool_open(&other, MIB, 0, NULL);
	assert_int_equal(fsdax_leave_begin(other.fs, 0, NULL), -EOPNOTSUPP);
	pool_close(&other);
	pool_parts_open(&other, sizes);
	const struct dax_part both[] = {{other.parts[0].dax, 0, 77}, {other.parts[1].dax, 0, 77}};
	assert_int_equal(dax_create_stripe(both, 2, 7, NULL, &stripe), 0);
	const struct dax_part parts[] = {{stripe, 0, 0}, {other.parts[2].dax, 0, 0}};
	assert_int_equal(dax_create_linear(parts, 2, NULL, &linear), 0);
	assert_int_equal(fsdax_create(linear, NULL, &other.fs), 0);
	assert_int_equal(fsdax_leave_begin(other.fs, 0, NULL), -EOPNOTSUPP);
	assert_int_equal(fsdax_leave_begin(other.fs, 1, NULL), -EOPNOTSUPP);
	assert_int_equal(fsdax_leave_begin(other.fs, 2, NULL), 0);
	assert_int_equal(fsdax_leave_end(other.fs, 2, NULL), 0);
	assert_int_equal(pool_statfs(&other).free, 154);
	assert_int_equal(fsdax_destroy(other.fs), 0);
	assert_int_equal(dax_destroy(linear), 0);
	assert_int_equal(dax_destroy(stripe), 0);
	pool_parts_close(&other);
}

static void below_another_stack_it_does_not_end_and_can_be_called_off(void **state)
{
	(void)state;
	struct dax_device *above;
	assert_int_equal(dax_create_fault(pool.dax, NULL, &above), 0);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), -EBUSY);
	assert_int_equal(fsdax_leave_cancel(pool.fs, 1), 0);
	assert_space(&pool, 0, 0);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	assert_int_equal(dax_destroy(above), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), 0);
}

static struct dax_device *between; /* stands on the pool's device from the middle of fsdax_leave_end() on */
static bool comes_between;

struct places_table *__real_places_without(const struct places *places, unsigned index);
struct places_table *__wrap_places_without(const struct places *places, unsigned index);

struct places_table *__wrap_places_without(const struct places *places, unsigned index)
{
	if (comes_between)
		assert_int_equal(dax_create_fault(pool.dax, NULL, &between), 0);
	comes_between = false;
	return __real_places_without(places, index);
}

static void a_stack_that_comes_above_in_between_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	comes_between = true;
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), -EBUSY);
	assert_int_equal(pgmap_state(dax_pgmap(pool.parts[1].dax)), PGMAP_DYING);
	assert_int_equal(dax_destroy(between), 0);
	assert_int_equal(fsdax_leave_cancel(pool.fs, 1), 0);
	assert_space(&pool, 0, 0);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), 0);
}

static void wrong_calls_are_refused(void **state)
{
	(void)state;
	uint64_t pages;
	assert_int_equal(fsdax_leave_begin(NULL, 0, &owned), -EINVAL);
	assert_int_equal(fsdax_leave_begin(pool.fs, 2, &owned), -EINVAL);
	assert_int_equal(fsdax_leave_held(NULL, 0, &pages), -EINVAL);
	assert_int_equal(fsdax_leave_held(pool.fs, 0, NULL), -EINVAL);
	assert_int_equal(fsdax_leave_for_each_held(NULL, 0, see, NULL), -EINVAL);
	assert_int_equal(fsdax_leave_for_each_held(pool.fs, 0, NULL, NULL), -EINVAL);
	assert_int_equal(fsdax_leave_cancel(NULL, 0), -EINVAL);
	assert_int_equal(fsdax_leave_end(NULL, 0, NULL), -EINVAL);
	assert_int_equal(fsdax_leave_end(pool.fs, 0, NULL), -EINVAL);
	assert_int_equal(fsdax_leave_end(pool.fs, 7, NULL), -EINVAL);
}

static void without_memory_nothing_has_changed(void **state)
{
	(void)state;
	int err = -ENOMEM;
	for (unsigned long nth = 1; err; nth++) {
		failing_begin(nth, false);
		err = fsdax_leave_begin(pool.fs, 1, NULL);
		assert_true(err == (failing_end() ? -ENOMEM : 0));
		assert_space(&pool, 0, err ? 0 : B);
	}
	err = -ENOMEM;
	for (unsigned long nth = 1; err; nth++) {
		failing_begin(nth, false);
		err = fsdax_leave_end(pool.fs, 1, NULL);
		assert_true(err == (failing_end() ? -ENOMEM : 0));
		assert_int_equal(pool_statfs(&pool).pages, err ? A + B : A);
	}
}

static void *wait_for_punch(void *arg)
{
	return (void *)(intptr_t)fsdax_truncate_how(arg, 0, FSDAX_WAIT, PGMAP_NO_DEADLINE);
}

/* c6.7: who waits for pages elsewhere is not concerned. */
static void c6_7_a_wait_for_other_pages_goes_on(void **state)
{
	(void)state;
	pthread_t thread;
	void *answer;
	struct fsdax_file *file = make_file(&pool, "f", (uint64_t)16 * PAGE);
	struct fsdax_map *map = map_range(file, 0, (uint64_t)16 * PAGE, NULL);
	struct fsdax_piece piece;
	fsdax_map_piece(map, 0, &piece);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_punch, file), 0);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1 - piece.device, NULL), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 1 - piece.device, NULL), 0);
	fsdax_unmap(map);
	assert_int_equal(pthread_join(thread, &answer), 0);
	assert_int_equal((intptr_t)answer, 0);
	fsdax_close(file);
}

/* Holes take no space: a file may be longer than what is left of the pool. It can be cut and mapped as any other. */
static void a_file_that_is_longer_than_the_rest_goes_on(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "f", (uint64_t)(A + 200) * PAGE);
	assert_int_equal(fsdax_punch(file, 0, (uint64_t)(A + 200) * PAGE, FSDAX_DEFER, 0), 0);
	assert_int_equal(fsdax_leave_begin(pool.fs, 1, NULL), 0);
	assert_int_equal(fsdax_leave_end(pool.fs, 1, NULL), 0);
	assert_int_equal(fsdax_truncate(file, (uint64_t)(A + 201) * PAGE), -EFBIG);
	assert_int_equal(fsdax_truncate_how(file, (uint64_t)(A + 201) * PAGE, FSDAX_FAIL, 0), -EFBIG);
	struct fsdax_map *map = map_range(file, (uint64_t)(A + 100) * PAGE, (uint64_t)5 * PAGE, NULL);
	assert_true(map_is_all(&pool, map, 0));
	assert_space(&pool, 5, 0);
	fsdax_unmap(map);
	assert_int_equal(fsdax_truncate(file, (uint64_t)(A + 102) * PAGE), 0);
	assert_int_equal(fsdax_truncate_how(file, (uint64_t)(A + 101) * PAGE, FSDAX_FAIL, 0), 0);
	assert_space(&pool, 1, 0);
	assert_int_equal(fsdax_resize_map(file, (uint64_t)(A + 101) * PAGE, 0, NULL, NULL, NULL, &map), -ENOSPC);
	assert_int_equal(fsdax_resize_map(file, (uint64_t)(A + 101) * PAGE, FSDAX_TRUNC, NULL, NULL, NULL, &map),
			 -EFBIG);
	fsdax_close(file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_two, close_it)
	static const struct CMUnitTest tests[] = {
		TEST(c6_10_a_device_leaves_and_the_size_with_it),
		TEST(its_number_is_the_next_devices),
		TEST(the_last_that_is_alive_does_not_end_its_leave),
		TEST(what_files_own_there_keeps_it),
		TEST(c6_10_what_a_call_gets_ready_keeps_it),
		TEST(what_is_held_there_is_waited_for),
		TEST(what_an_open_file_without_a_name_has_is_waited_for),
		TEST(c7_5_what_is_quarantined_there_is_waited_for),
		TEST(what_was_requested_past_the_pool_is_waited_for),
		TEST(called_off_all_is_as_before),
		TEST(who_has_drained_it_has_ended_it),
		TEST(a_pool_that_ends_calls_it_off),
		TEST(only_a_part_of_its_own_can_leave),
		TEST(below_another_stack_it_does_not_end_and_can_be_called_off),
		TEST(a_stack_that_comes_above_in_between_changes_nothing),
		TEST(wrong_calls_are_refused),
		TEST(without_memory_nothing_has_changed),
		TEST(c6_7_a_wait_for_other_pages_goes_on),
		TEST(a_file_that_is_longer_than_the_rest_goes_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
