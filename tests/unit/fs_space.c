/* SPDX-License-Identifier: BSD-3-Clause */
/* Who owns each page: free, used, waiting; a page comes back once, wiped, and only when nobody holds it. */
#include "fs/space.h"

#include <errno.h>

#include "core/word.h"

#include "pool.h"

enum { PAGES = 64 };

/* A space on a device of 64 pages, and no file system above it: each test counts from a sum of 64. */
static struct dev *dev;
static struct dax_device_ops ops;
static struct dax_device *dax;
static struct pgmap *pgmap;
static struct space space;
static char *mem;
static int discard_fails, populates_left;
static uint64_t bad_offset; /* what has this byte cannot be discarded */

static int discard(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	bool fails = discard_fails || (bad_offset >= offset_bytes && bad_offset - offset_bytes < len_bytes);
	return fails ? -EIO : dev->ops->discard(ctx, offset_bytes, len_bytes);
}

static int populate(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	return populates_left-- > 0 ? dev->ops->populate(ctx, offset_bytes, len_bytes) : -ENOSPC;
}

static int folio_freed(void *holder, uint64_t pgoff, uint64_t npages)
{
	space_folio_free(holder, space.base + pgoff, npages);
	return PGMAP_FREE_IDLE;
}

static const struct dax_holder_ops holder_ops = {
	.ops_bytes = sizeof(holder_ops),
	.folio_free = folio_freed,
};

static int set_up(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX];
	discard_fails = 0;
	populates_left = 1000;
	bad_offset = UINT64_MAX;
	assert_int_equal(dev_open("memfd:size=256K,page=4K", &dev, why), 0);
	ops = *dev->ops;
	ops.discard = discard;
	ops.populate = populate;
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = PGMAP_FSDAX,
		.len_bytes = PAGES * PAGE,
		.addr = mem,
		.fd = dev->fd,
		.ops = &ops,
		.ctx = dev,
		.name = "space",
	};
	assert_int_equal(dax_create(&params, &dax), 0);
	pgmap = dax_pgmap(dax);
	assert_int_equal(space_init(&space, dax), 0);
	assert_int_equal(dax_hold(dax, &space, &holder_ops), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(dax_release(dax, &space), 0);
	space_exit(&space);
	assert_int_equal(dax_destroy(dax), 0);
	assert_int_equal(munmap(mem, PAGES * PAGE), 0);
	dev_close(dev);
	return 0;
}

static void assert_counts(uint64_t used, uint64_t waiting)
{
	struct fsdax_statfs st = {0};
	uint64_t free = 0;
	space_statfs(&space, &st);
	for (unsigned order = 0; order <= PGMAP_MAX_ORDER; order++)
		free += st.free_by_order[order] << order;
	assert_int_equal(st.used, used);
	assert_int_equal(st.waiting, waiting);
	assert_int_equal(st.free, PAGES - used - waiting);
	assert_int_equal(free, st.free);
	assert_int_equal(st.pages, PAGES);
}

/* Free space is one block again. */
static void assert_whole(void)
{
	struct fsdax_statfs st = {0};
	assert_counts(0, 0);
	space_statfs(&space, &st);
	assert_int_equal(st.free_by_order[6], 1);
}

static void alloc(uint64_t file_page, uint64_t npages, struct block_list *out)
{
	STAILQ_INIT(out);
	assert_int_equal(space_alloc(&space, file_page, npages, PGMAP_MAX_ORDER, out), 0);
}

static char *first_byte(const struct block_list *blocks)
{
	return mem + (STAILQ_FIRST(blocks)->off - space.base) * PAGE;
}

static void blocks_are_as_big_as_size_and_alignment_in_the_file_allow(void **state)
{
	(void)state;
	static const struct {
		uint64_t key;
		unsigned order;
	} want[] = {{3, 0}, {4, 2}, {8, 3}, {16, 2}, {20, 0}};
	struct block_list blocks;
	struct block *block;
	size_t n = 0;
	alloc(3, 18, &blocks);
	STAILQ_FOREACH (block, &blocks, list) {
		assert_true(n < sizeof(want) / sizeof(want[0]));
		assert_int_equal(block->key, want[n].key);
		assert_int_equal(block->order, want[n++].order);
		assert_int_equal(block->off % block_pages(block), 0);
	}
	assert_int_equal(n, sizeof(want) / sizeof(want[0]));
	assert_counts(18, 0);
	space_give_back(&space, &blocks);
	assert_true(STAILQ_EMPTY(&blocks));
	assert_whole();
}

static void what_does_not_fit_changes_nothing(void **state)
{
	(void)state;
	struct block_list a, b;
	alloc(0, 33, &a);
	STAILQ_INIT(&b);
	assert_int_equal(space_alloc(&space, 0, 32, PGMAP_MAX_ORDER, &b), -ENOSPC);
	assert_true(STAILQ_EMPTY(&b));
	assert_counts(33, 0);
	assert_int_equal(space_alloc(&space, 0, 31, PGMAP_MAX_ORDER, &b), 0);
	assert_counts(64, 0);
	space_lose(&space, &b);
	space_lose(&space, &a);
	assert_whole();
}

static void c7_11_memory_that_is_not_there_changes_nothing(void **state)
{
	(void)state;
	struct block_list hole, blocks = STAILQ_HEAD_INITIALIZER(blocks);
	assert_int_equal(space_take(&space, space.base + 8, 0, 0, &blocks), 0); /* so that the rest is two runs */
	STAILQ_INIT(&hole);
	STAILQ_CONCAT(&hole, &blocks);
	for (int n = 0; n < 2; n++) {
		populates_left = n;
		assert_int_equal(space_alloc(&space, 0, 63, PGMAP_MAX_ORDER, &blocks), -ENOSPC);
		assert_true(STAILQ_EMPTY(&blocks));
		assert_counts(1, 0);
	}
	populates_left = 1000;
	assert_int_equal(space_alloc(&space, 0, 63, PGMAP_MAX_ORDER, &blocks), 0);
	assert_counts(64, 0);
	STAILQ_CONCAT(&blocks, &hole);
	space_lose(&space, &blocks);
	assert_whole();
}

static void a_block_is_taken_once_and_where_it_was(void **state)
{
	(void)state;
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks);
	assert_int_equal(space_take(&space, space.base + 24, 3, 512, &blocks), 0);
	assert_int_equal(STAILQ_FIRST(&blocks)->off, space.base + 24);
	assert_int_equal(STAILQ_FIRST(&blocks)->key, 512);
	assert_counts(8, 0);
	assert_int_equal(space_take(&space, space.base + 31, 0, 0, &blocks), -ENOSPC);
	assert_int_equal(space_take(&space, space.base + 16, 4, 0, &blocks), -ENOSPC);
	assert_null(STAILQ_NEXT(STAILQ_FIRST(&blocks), list));
	assert_counts(8, 0);
	space_lose(&space, &blocks);
	assert_whole();
}

static void c6_9_idle_pages_that_are_lost_are_wiped_and_free_at_once(void **state)
{
	(void)state;
	struct block_list blocks;
	alloc(0, 3, &blocks);
	char *at = first_byte(&blocks);
	memset(at, 'x', PAGE);
	space_lose(&space, &blocks);
	assert_true(STAILQ_EMPTY(&blocks));
	assert_whole();
	assert_true(is_all(at, PAGE, 0));
}

static void c6_8_held_pages_that_are_lost_wait_for_their_last_put(void **state)
{
	(void)state;
	struct block_list blocks;
	struct folio *folio;
	alloc(0, 20, &blocks); /* 16, held, and 4 that nobody holds */
	char *at = first_byte(&blocks);
	assert_int_equal(pgmap_request_folio(pgmap, STAILQ_FIRST(&blocks)->off, 4, &folio), 0);
	folio_get(folio);
	memset(at, 'x', 16 * PAGE);
	space_lose(&space, &blocks);
	assert_counts(0, 16);
	folio_put(folio);
	assert_counts(0, 16);
	assert_true(is_all(at, 16 * PAGE, 'x'));
	folio_put(folio);
	assert_whole();
	assert_true(is_all(at, 16 * PAGE, 0));
}

static void the_last_put_on_pages_that_are_not_lost_frees_none(void **state)
{
	(void)state;
	struct block_list blocks;
	struct folio *folio;
	alloc(0, 16, &blocks);
	char *at = first_byte(&blocks);
	*at = 'x';
	assert_int_equal(pgmap_request_folio(pgmap, STAILQ_FIRST(&blocks)->off, 4, &folio), 0);
	folio_put(folio);
	assert_counts(16, 0);
	assert_int_equal(*at, 'x');
	space_lose(&space, &blocks);
	assert_whole();
}

static void only_the_pages_that_were_put_become_free(void **state)
{
	(void)state;
	struct block_list blocks;
	struct folio *folios[3];
	alloc(1, 3, &blocks); /* one page, then two */
	assert_int_equal(pgmap_request_folio(pgmap, STAILQ_FIRST(&blocks)->off, 0, &folios[0]), 0);
	uint64_t two = STAILQ_NEXT(STAILQ_FIRST(&blocks), list)->off;
	assert_int_equal(pgmap_request_folio(pgmap, two, 1, &folios[1]), 0);
	space_lose(&space, &blocks);
	assert_counts(0, 3);
	folio_put(folios[0]);
	assert_counts(0, 2);
	alloc(0, 62, &blocks); /* all that is free, and the pages that wait are not in it */
	assert_counts(62, 2);
	folio_put(folios[1]);
	assert_counts(62, 0);
	space_lose(&space, &blocks);
	assert_whole();
}

/* Its file was cut twice, so it waits as two blocks; the folio covers both. */
static void a_folio_over_two_waiting_blocks_frees_both(void **state)
{
	(void)state;
	struct block_list blocks, upper = STAILQ_HEAD_INITIALIZER(upper);
	struct folio *folio;
	alloc(0, 8, &blocks);
	assert_int_equal(pgmap_request_folio(pgmap, STAILQ_FIRST(&blocks)->off, 3, &folio), 0);
	assert_int_equal(block_spares_get(&upper, 1), 0);
	block_halve(STAILQ_FIRST(&blocks), STAILQ_FIRST(&upper));
	space_lose(&space, &upper);
	assert_counts(4, 4);
	space_lose(&space, &blocks);
	assert_counts(0, 8);
	folio_put(folio);
	assert_whole();
}

static void c7_5_quarantined_pages_that_are_lost_wait_for_the_fence(void **state)
{
	(void)state;
	struct block_list blocks;
	struct folio *folio;
	struct pgmap_holder *holder;
	alloc(0, 8, &blocks);
	char *at = first_byte(&blocks);
	*at = 'x';
	assert_int_equal(pgmap_holder_create(pgmap, "dies", &holder), 0);
	assert_int_equal(pgmap_request_folio(pgmap, STAILQ_FIRST(&blocks)->off, 3, &folio), 0);
	assert_int_equal(folio_pin(folio, holder, FOLIO_PIN_REMOTE), 0);
	folio_put(folio);
	assert_int_equal(pgmap_holder_end(holder), 8);
	space_lose(&space, &blocks);
	assert_counts(0, 8);
	assert_int_equal(*at, 'x');
	assert_int_equal(pgmap_holder_fence(holder), 0);
	assert_whole();
	assert_int_equal(*at, 0);
}

static void pages_lost_while_the_pgmap_dies_still_come_back(void **state)
{
	(void)state;
	struct block_list blocks;
	alloc(0, 64, &blocks);
	assert_int_equal(pgmap_kill(pgmap), 0);
	space_lose(&space, &blocks);
	assert_whole();
}

/* In space_lose()'s question: what a thread that ends a holder with REMOTE pins does between two of its instructions. */
static word_t *released;
static uint64_t quarantined;

int sched_yield(void)
{
	if (released)
		word_store(released, quarantined);
	released = NULL;
	return 0;
}

/* Its last reference is gone, and that it is kept has not been written yet: no request says that it is held where it says
 * first that a page is poisoned, or that the pgmap dies. */
static void lose_while_it_is_released(bool dying)
{
	struct block_list blocks;
	struct folio *folio;
	struct pgmap_holder *holder;
	alloc(0, 8, &blocks);
	uint64_t pgoff = STAILQ_FIRST(&blocks)->off;
	assert_int_equal(pgmap_holder_create(pgmap, "dies", &holder), 0);
	assert_int_equal(pgmap_request_folio(pgmap, pgoff, 3, &folio), 0);
	assert_int_equal(folio_pin(folio, holder, FOLIO_PIN_REMOTE), 0);
	folio_put(folio);
	assert_int_equal(pgmap_holder_end(holder), 8);
	assert_int_equal(dying ? pgmap_kill(pgmap) : pgmap_poison(pgmap, pgoff + 5, 1), 0);
	word_t *word = (word_t *)(uintptr_t)folio;
	quarantined = word_load(word);
	assert_int_equal(word_state(quarantined), WORD_QUARANTINED);
	word_store(word, word_make(WORD_HELD, 3, 0) | WORD_FENCE);
	released = word;
	space_lose(&space, &blocks);
	assert_null(released);
	assert_counts(0, 8);
	if (!dying)
		assert_int_equal(pgmap_clear_poison(pgmap, pgoff + 5, 1), 0);
	assert_int_equal(pgmap_holder_fence(holder), 0);
	assert_whole();
}

static void c6_8_pages_about_to_be_quarantined_are_not_free_over_poison(void **state)
{
	(void)state;
	lose_while_it_is_released(false);
}

static void c6_8_pages_about_to_be_quarantined_are_not_free_where_the_pgmap_dies(void **state)
{
	(void)state;
	lose_while_it_is_released(true);
}

static void c6_9_what_cannot_be_wiped_waits_until_space_is_short(void **state)
{
	(void)state;
	struct block_list blocks, again;
	alloc(0, 32, &blocks);
	char *at = first_byte(&blocks);
	*at = 'x';
	discard_fails = 1;
	space_lose(&space, &blocks);
	assert_counts(0, 32);
	STAILQ_INIT(&again);
	assert_int_equal(space_alloc(&space, 0, 64, PGMAP_MAX_ORDER, &again), -ENOSPC);
	assert_counts(0, 32);
	discard_fails = 0;
	alloc(0, 32, &blocks); /* not short yet: not tried */
	assert_counts(32, 32);
	alloc(0, 32, &again);
	assert_counts(64, 0);
	assert_int_equal(*at, 0);
	STAILQ_CONCAT(&blocks, &again);
	space_lose(&space, &blocks);
	assert_whole();
}

/* Nor does it keep others that could not be wiped before. */
static void c6_9_what_can_never_be_wiped_waits_alone(void **state)
{
	(void)state;
	struct block_list blocks[4];
	for (int i = 0; i < 4; i++)
		alloc(0, 16, &blocks[i]);
	bad_offset = (STAILQ_FIRST(&blocks[0])->off - space.base + 3) * PAGE;
	discard_fails = 1;
	space_lose(&space, &blocks[0]); /* and its neighbour */
	space_lose(&space, &blocks[1]);
	space_lose(&space, &blocks[3]);
	assert_counts(16, 48);
	discard_fails = 0;
	alloc(0, 32, &blocks[0]);
	assert_counts(48, 16);
	bad_offset = UINT64_MAX;
	alloc(0, 16, &blocks[1]);
	for (int i = 0; i < 3; i++)
		space_lose(&space, &blocks[i]);
	assert_whole();
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static int wakes;

static void count_wake(struct space_watch *watch)
{
	(void)watch;
	wakes++;
}

static void c6_7_a_watch_is_woken_by_the_last_put_on_its_range(void **state)
{
	(void)state;
	struct space_watch watch = {.wake = count_wake}, other = {.wake = count_wake};
	struct folio *folio;
	wakes = 0;
	space_watch_add(&space, &watch);
	space_watch_add(&space, &other);
	space_watch_set(&space, &watch, space.base + 5, space.base + 6);
	assert_int_equal(pgmap_request_folio(pgmap, space.base + 4, 1, &folio), 0);
	folio_get(folio);
	folio_put(folio);
	assert_false(watch.woken);
	folio_put(folio);
	assert_true(watch.woken);
	assert_false(other.woken);
	space_watch_set(&space, &watch, space.base + 6, space.base + 8);
	assert_false(watch.woken);
	assert_int_equal(pgmap_request_folio(pgmap, space.base + 4, 1, &folio), 0);
	folio_put(folio);
	assert_false(watch.woken);
	space_watch_wake(&space, &other);
	assert_true(other.woken && !watch.woken);
	space_watch_wake(&space, NULL);
	assert_true(watch.woken);
	assert_int_equal(wakes, 4);
	space_watch_remove(&space, &watch);
	space_watch_remove(&space, &other);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(blocks_are_as_big_as_size_and_alignment_in_the_file_allow),
		T(what_does_not_fit_changes_nothing),
		T(c7_11_memory_that_is_not_there_changes_nothing),
		T(a_block_is_taken_once_and_where_it_was),
		T(c6_9_idle_pages_that_are_lost_are_wiped_and_free_at_once),
		T(c6_8_held_pages_that_are_lost_wait_for_their_last_put),
		T(the_last_put_on_pages_that_are_not_lost_frees_none),
		T(only_the_pages_that_were_put_become_free),
		T(a_folio_over_two_waiting_blocks_frees_both),
		T(c7_5_quarantined_pages_that_are_lost_wait_for_the_fence),
		T(pages_lost_while_the_pgmap_dies_still_come_back),
		T(c6_8_pages_about_to_be_quarantined_are_not_free_over_poison),
		T(c6_8_pages_about_to_be_quarantined_are_not_free_where_the_pgmap_dies),
		T(c6_7_a_watch_is_woken_by_the_last_put_on_its_range),
		T(c6_9_what_cannot_be_wiped_waits_until_space_is_short),
		T(c6_9_what_can_never_be_wiped_waits_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
