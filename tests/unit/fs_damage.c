/* SPDX-License-Identifier: BSD-3-Clause */
/* What of files is lost, on devices that are dead or bad: not mapped, listed, repaired; and nothing else of them. */
#include <errno.h>

#include "core/word.h"
#include "fs/fs.h"
#include "fs/taking.h"

#include "failing.h"
#include "pool.h"

static const uint64_t sizes[] = {4 * MIB, 4 * MIB, 0};
static struct pool pool;
static struct dax_device *faults[2]; /* over the parts: writing clears what is bad */

static int open_pool(void **state)
{
	(void)state;
	struct dax_part parts[2] = {0};
	pool_parts_open(&pool, sizes);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(dax_create_fault(pool.parts[i].dax, NULL, &faults[i]), 0);
		parts[i].dax = faults[i];
	}
	assert_int_equal(dax_create_stripe(parts, 2, 512, NULL, &pool.dax), 0);
	assert_int_equal(fsdax_create(pool.dax, NULL, &pool.fs), 0);
	return 0;
}

static int close_pool(void **state)
{
	(void)state;
	assert_int_equal(fsdax_destroy(pool.fs), 0);
	assert_int_equal(dax_destroy(pool.dax), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(dax_destroy(faults[i]), 0);
	pool_parts_close(&pool);
	return 0;
}

static void fill_file(struct fsdax_file *file, char byte)
{
	struct fsdax_map *map = map_range(file, 0, stat_of(file).size_bytes, NULL);
	fill_map(&pool, map, byte);
	fsdax_unmap(map);
}

/* Page of a part under a page of a file; which part. */
static unsigned part_of(struct fsdax_file *file, uint64_t page, uint64_t *pgoff)
{
	struct fsdax_map *map = map_range(file, page * PAGE, PAGE, NULL);
	struct fsdax_piece piece;
	fsdax_map_piece(map, 0, &piece);
	*pgoff = piece.device_offset_bytes / PAGE;
	fsdax_unmap(map);
	return piece.device;
}

static void poison(struct fsdax_file *file, uint64_t page, uint64_t npages)
{
	uint64_t pgoff;
	unsigned part = part_of(file, page, &pgoff);
	assert_int_equal(dax_notify_failure(pool.parts[part].dax, DAX_FAILURE_POISON, pgoff, npages), 0);
}

/* What fsdax_for_each_lost() says, up to so many times. */
struct said {
	int n;
	struct fsdax_lost lost[8];
	int answer;
};

static int note(void *arg, const struct fsdax_lost *lost)
{
	struct said *said = arg;
	assert_true(said->n < 8);
	said->lost[said->n++] = *lost;
	return said->answer;
}

static struct said lost_of(const char *path)
{
	struct said said = {0};
	assert_int_equal(fsdax_for_each_lost(pool.fs, path, note, &said), 0);
	return said;
}

static void assert_said(const struct said *said, int i, struct fsdax_file *file, uint64_t page, uint64_t npages,
			enum dax_failure what)
{
	assert_true(i < said->n);
	assert_int_equal(said->lost[i].ino, stat_of(file).ino);
	assert_int_equal(said->lost[i].offset_bytes, page * PAGE);
	assert_int_equal(said->lost[i].len_bytes, npages * PAGE);
	assert_int_equal(said->lost[i].what, what);
}

static int try_map(struct fsdax_file *file, uint64_t page, uint64_t npages)
{
	struct fsdax_map *map;
	int err = fsdax_map(file, page * PAGE, npages * PAGE, NULL, NULL, &map);
	if (!err)
		fsdax_unmap(map);
	return err;
}

/* The file's first page loses its data while a DMA writes to it, whose holder ends. */
static struct fsdax_holder *quarantine(struct fsdax_file *file)
{
	struct fsdax_holder *dma;
	struct fsdax_map *map;
	struct fsdax_span span;
	assert_int_equal(fsdax_holder_create(pool.fs, "dma", &dma), 0);
	assert_int_equal(fsdax_map_for(file, 0, PAGE, dma, NULL, NULL, &map), 0);
	fsdax_map_span(map, 0, &span);
	assert_int_equal(folio_pin(span.folio, fsdax_holder_of(dma, folio_pgmap(span.folio)), FOLIO_PIN_REMOTE), 0);
	poison(file, 0, 1);
	assert_true(fsdax_holder_end(dma) > 0);
	fsdax_unmap_ended(map);
	return dma;
}

static void c6_7_a_quarantine_over_bad_pages_holds_until_its_fence(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", PAGE);
	struct fsdax_holder *dma = quarantine(file);
	assert_int_equal(fsdax_punch(file, 0, PAGE, FSDAX_FAIL, 0), -EBUSY);
	assert_int_equal(fsdax_truncate_how(file, 0, FSDAX_WAIT, 0), -ETIMEDOUT);
	assert_int_equal(fsdax_repair(file, 0, PAGE), -EBUSY); /* what is written there yet may not be zero */
	assert_int_equal(fsdax_holder_fence(dma), 0);
	assert_int_equal(fsdax_repair(file, 0, PAGE), 0);
	poison(file, 0, 1);
	assert_int_equal(fsdax_punch(file, 0, PAGE, FSDAX_FAIL, 0), 0);
	fsdax_close(file);
}

/* Held by somebody who lives, and so not quarantined yet. The file's third page is another folio's. */
static void c7_5_what_somebody_else_maps_too_is_not_repaired_before_its_fence(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 3 * PAGE);
	struct fsdax_map *other = map_range(file, 0, PAGE, NULL);
	struct fsdax_holder *dma = quarantine(file);
	poison(file, 2, 1);
	assert_int_equal(fsdax_repair(file, 0, 3 * PAGE), -EBUSY);
	assert_int_equal(lost_of("a").n, 2);
	assert_int_equal(fsdax_repair(file, PAGE, 2 * PAGE), 0);
	assert_int_equal(fsdax_repair(file, 0, PAGE), -EBUSY);
	assert_int_equal(lost_of("a").n, 1);
	assert_int_equal(fsdax_holder_fence(dma), 0);
	assert_int_equal(fsdax_repair(file, 0, PAGE), 0);
	assert_int_equal(lost_of("a").n, 0);
	fsdax_unmap(other);
	fsdax_close(file);
}

static struct fsdax_file *in_between; /* when the pool's lock is let go of next, this one's first page is quarantined */
static struct fsdax_holder *came_between;

int __real_pthread_mutex_unlock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock);

int __wrap_pthread_mutex_unlock(pthread_mutex_t *lock)
{
	int err = __real_pthread_mutex_unlock(lock);
	struct fsdax_file *file = in_between;
	if (file && lock == &pool.fs->lock) {
		in_between = NULL;
		came_between = quarantine(file);
	}
	return err;
}

static void c7_5_what_is_quarantined_meanwhile_is_not_repaired(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 2 * PAGE);
	poison(file, 1, 1);
	in_between = file;
	assert_int_equal(fsdax_repair(file, 0, 2 * PAGE), 0);
	struct said said = lost_of("a");
	assert_int_equal(said.n, 1);
	assert_said(&said, 0, file, 0, 1, DAX_FAILURE_POISON);
	assert_int_equal(fsdax_repair(file, 0, 2 * PAGE), -EBUSY);
	assert_int_equal(fsdax_holder_fence(came_between), 0);
	assert_int_equal(fsdax_repair(file, 0, 2 * PAGE), 0);
	fsdax_close(file);
}

/* In the question whether pages are idle: what a thread that ends a holder with REMOTE pins does between two instructions. */
static word_t *released;
static uint64_t quarantined;

int sched_yield(void)
{
	if (released)
		word_store(released, quarantined);
	released = NULL;
	return 0;
}

static void c6_7_what_is_about_to_be_quarantined_over_bad_pages_is_held(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", PAGE);
	struct fsdax_holder *dma;
	struct fsdax_map *map;
	struct fsdax_span span;
	assert_int_equal(fsdax_holder_create(pool.fs, "dma", &dma), 0);
	assert_int_equal(fsdax_map_for(file, 0, PAGE, dma, NULL, NULL, &map), 0);
	fsdax_map_span(map, 0, &span);
	assert_int_equal(folio_pin(span.folio, fsdax_holder_of(dma, folio_pgmap(span.folio)), FOLIO_PIN_REMOTE), 0);
	poison(file, 0, 1);
	assert_int_equal(fsdax_holder_end(dma), 1);
	fsdax_unmap_ended(map);
	word_t *word = (word_t *)(uintptr_t)span.folio;
	quarantined = word_load(word);
	assert_int_equal(word_state(quarantined), WORD_QUARANTINED);
	word_store(word, word_make(WORD_HELD, 0, 0) | WORD_FENCE);
	assert_int_equal(fsdax_repair(file, 0, PAGE), -EBUSY);
	released = word;
	assert_int_equal(fsdax_punch(file, 0, PAGE, FSDAX_FAIL, 0), -EBUSY);
	assert_null(released);
	assert_int_equal(fsdax_holder_fence(dma), 0);
	assert_int_equal(fsdax_punch(file, 0, PAGE, FSDAX_FAIL, 0), 0);
	fsdax_close(file);
}

/* No other device is there to tell of. */
static void c6_5_all_is_lost_of_a_single_device_that_is_dead(void **state)
{
	(void)state;
	struct pool one;
	struct said said = {0};
	pool_open(&one, 4 * MIB, 0, NULL);
	struct fsdax_file *file = make_file(&one, "a", 3 * MIB);
	assert_int_equal(fsdax_for_each_lost(one.fs, "a", note, &said), 0);
	assert_int_equal(said.n, 0);
	assert_int_equal(dax_kill(one.dax), 0);
	assert_int_equal(fsdax_for_each_lost(one.fs, "a", note, &said), 0);
	assert_int_equal(said.n, 1);
	assert_said(&said, 0, file, 0, 3 * MIB / PAGE, DAX_FAILURE_DEAD);
	assert_int_equal(fsdax_truncate(file, 4 * MIB), -ENXIO);
	fsdax_close(file);
	pool_close(&one);
}

static void c6_5_a_bad_page_is_not_mapped_and_its_neighbours_are(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 3 * MIB), *other = make_file(&pool, "b", MIB);
	fill_file(file, 'a');
	poison(file, 100, 3);
	assert_int_equal(try_map(file, 0, 768), -EHWPOISON);
	assert_int_equal(try_map(file, 102, 1), -EHWPOISON);
	assert_int_equal(try_map(file, 99, 2), -EHWPOISON);
	struct fsdax_map *before = map_range(file, 0, 100 * PAGE, NULL);
	struct fsdax_map *behind = map_range(file, 103 * PAGE, (768 - 103) * PAGE, NULL);
	assert_true(map_is_all(&pool, before, 'a') && map_is_all(&pool, behind, 'a'));
	assert_int_equal(try_map(file, 0, 101), -EHWPOISON);
	fsdax_unmap(before);
	fsdax_unmap(behind);
	assert_int_equal(try_map(other, 0, 256), 0);
	assert_int_equal(stat_of(file).blocks, 768);
	assert_space(&pool, 1024, 0);
	fsdax_close(file);
	fsdax_close(other);
	assert_int_equal(fsdax_unlink(pool.fs, "a"), 0);
	assert_space(&pool, 256, 3);
}

static void c6_5_holders_are_told_which_offsets_are_lost(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 3 * MIB), *other = make_file(&pool, "b", MIB);
	struct said said = lost_of(NULL);
	assert_int_equal(said.n, 0);
	poison(file, 100, 3);
	poison(file, 700, 1);
	poison(other, 0, 1);
	said = lost_of("a");
	assert_int_equal(said.n, 2);
	assert_said(&said, 0, file, 100, 3, DAX_FAILURE_POISON);
	assert_said(&said, 1, file, 700, 1, DAX_FAILURE_POISON);
	assert_int_equal(try_map(file, 0, 100), 0); /* cuts the extent, and what is lost is still one run */
	said = lost_of("a");
	assert_said(&said, 0, file, 100, 3, DAX_FAILURE_POISON);
	said = lost_of(NULL);
	assert_int_equal(said.n, 3);
	assert_said(&said, 2, other, 0, 1, DAX_FAILURE_POISON);
	said = (struct said){.answer = 7};
	assert_int_equal(fsdax_for_each_lost(pool.fs, NULL, note, &said), 7);
	assert_int_equal(said.n, 1);
	assert_int_equal(fsdax_for_each_lost(pool.fs, "none", note, &said), -ENOENT);
	assert_int_equal(fsdax_for_each_lost(pool.fs, "/", note, &said), -EISDIR);
	assert_int_equal(fsdax_for_each_lost(pool.fs, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(fsdax_for_each_lost(NULL, NULL, note, NULL), -EINVAL);
	assert_int_equal(fsdax_unlink(pool.fs, "b"), 0); /* open still */
	assert_int_equal(lost_of(NULL).n, 3);
	fsdax_close(other);
	assert_int_equal(lost_of(NULL).n, 2);
	fsdax_close(file);
}

static void c6_5_overwriting_whole_pages_clears_them(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 3 * MIB);
	fill_file(file, 'a');
	poison(file, 100, 3);
	assert_int_equal(fsdax_repair(file, 100 * PAGE, 0), -EINVAL);
	assert_int_equal(fsdax_repair(file, 100 * PAGE + 1, PAGE), -EINVAL);
	assert_int_equal(fsdax_repair(file, 100 * PAGE, PAGE + 1), -EINVAL);
	assert_int_equal(fsdax_repair(NULL, 0, PAGE), -EINVAL);
	assert_int_equal(fsdax_repair(file, UINT64_MAX - PAGE + 1, PAGE), -EINVAL);
	assert_int_equal(fsdax_repair(file, 101 * PAGE, PAGE), 0);
	assert_int_equal(try_map(file, 101, 1), 0);
	assert_int_equal(try_map(file, 100, 2), -EHWPOISON);
	for (int i = 0; i < 2; i++)
		assert_int_equal(dax_fault_keep_poison(faults[i], true), 0); /* a device that cannot */
	assert_int_equal(fsdax_repair(file, 0, 4 * MIB), -EOPNOTSUPP);
	assert_int_equal(lost_of("a").n, 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(dax_fault_keep_poison(faults[i], false), 0);
	assert_int_equal(fsdax_repair(file, 0, 4 * MIB), 0);
	assert_int_equal(lost_of("a").n, 0);
	struct fsdax_map *map = map_range(file, 0, 100 * PAGE, NULL);
	assert_true(map_is_all(&pool, map, 'a'));
	fsdax_unmap(map);
	map = map_range(file, 100 * PAGE, 3 * PAGE, NULL);
	assert_true(map_is_all(&pool, map, 0));
	fsdax_unmap(map);
	map = map_range(file, 103 * PAGE, 100 * PAGE, NULL);
	assert_true(map_is_all(&pool, map, 'a'));
	fsdax_unmap(map);
	fsdax_close(file);
}

/* What is held stays one folio; ranges of it that are good can still be mapped, by others too. */
static void c6_5_what_is_held_stays_so(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	struct fsdax_map *map = map_range(file, 0, 2 * MIB, NULL);
	uint64_t n = fsdax_map_nspans(map);
	struct fsdax_span span;
	fsdax_map_span(map, 0, &span);
	assert_int_equal(pool_live_pages(&pool), 512);
	assert_int_equal(dax_notify_failure(pool.dax, DAX_FAILURE_POISON,
					    places_page(&pool.fs->space.places, map->spans[0].off) + 5, 1),
			 0);
	assert_int_equal(try_map(file, 0, 10), -EHWPOISON);
	assert_int_equal(try_map(file, 6, 100), 0);
	assert_int_equal(folio_refs(span.folio), 1);
	assert_int_equal(fsdax_map_nspans(map), n);
	assert_int_equal(fsdax_punch(file, 0, 16 * PAGE, FSDAX_FAIL, 0), -EBUSY);
	fsdax_unmap(map);
	assert_int_equal(fsdax_punch(file, 0, 16 * PAGE, FSDAX_FAIL, 0), 0);
	assert_space(&pool, 496, 1);
	assert_int_equal(try_map(file, 0, 512), 0); /* the hole got others */
	fsdax_close(file);
}

static void c6_5_a_file_that_is_made_anew_leaves_its_bad_pages(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	struct fsdax_map *map;
	fill_file(file, 'a');
	poison(file, 300, 2);
	assert_int_equal(fsdax_resize_map(file, 3 * MIB, 0, NULL, NULL, NULL, &map), -EHWPOISON);
	assert_int_equal(stat_of(file).size_bytes, 2 * MIB);
	assert_int_equal(fsdax_resize_map(file, 3 * MIB, FSDAX_TRUNC, NULL, NULL, NULL, &map), 0);
	assert_true(map_is_all(&pool, map, 0));
	assert_int_equal(lost_of("a").n, 0);
	assert_space(&pool, 768, 2);
	fsdax_unmap(map);
	fsdax_close(file);
}

/* An end in the middle of a bad page: there is nothing to wipe. */
static void c6_5_a_cut_through_a_bad_page_touches_nothing(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 4 * PAGE);
	uint64_t pgoff;
	fill_file(file, 'a');
	char *mem = pool.parts[part_of(file, 2, &pgoff)].mem + pgoff * PAGE;
	poison(file, 2, 1);
	assert_int_equal(fsdax_truncate(file, 2 * PAGE + 10), 0);
	assert_true(is_all(mem, PAGE, 'a'));
	assert_int_equal(fsdax_truncate(file, PAGE + 10), 0);
	assert_space(&pool, 2, 1);
	fsdax_close(file);
}

static void c6_7_who_waits_for_a_dead_device_is_told(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 4 * MIB);
	struct fsdax_map *map = map_range(file, 0, 4 * MIB, NULL);
	uint64_t pgoff;
	unsigned part = part_of(file, 0, &pgoff);
	struct taking taking = {0}, other = {0};
	assert_int_equal(taking_punch(&taking, file, 0, MIB), 0);
	assert_int_equal(taking_begin(&taking, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
	assert_int_equal(taking_punch(&other, file, 2 * MIB, MIB), 0);
	assert_int_equal(taking_begin(&other, FSDAX_WAIT, NULL, NULL), -EINPROGRESS);
	assert_int_equal(dax_kill(pool.parts[part].dax), 0);
	assert_true(taking_woken(&taking) && taking_woken(&other));
	assert_int_equal(taking_try(&taking), -ENODEV);
	assert_int_equal(taking_try(&other), -EINPROGRESS); /* on a device that lives */
	taking_end(&taking);
	assert_int_equal(fsdax_punch(file, 0, MIB, FSDAX_FAIL, 0), -ENODEV);
	assert_int_equal(fsdax_punch(file, 2 * MIB, MIB, FSDAX_FAIL, 0), -EBUSY);
	fsdax_unmap(map);
	assert_int_equal(taking_try(&other), 0);
	taking_end(&other);
	struct said said = lost_of("a");
	assert_int_equal(said.n, 1);
	assert_said(&said, 0, file, 0, 512, DAX_FAILURE_DEAD);
	assert_int_equal(try_map(file, 0, 1), -ENODEV);
	assert_int_equal(try_map(file, 3 * 256, 1), 0);
	assert_int_equal(fsdax_repair(file, 0, PAGE), -ENODEV);
	assert_int_equal(fsdax_truncate_how(file, 0, FSDAX_FAIL, 0), 0); /* nobody holds it */
	fsdax_close(file);
	struct fsdax_statfs st = pool_statfs(&pool);
	assert_int_equal(st.lost, 1024);
}

static void c6_5_without_memory_to_cut_nothing_is_mapped(void **state)
{
	(void)state;
	struct fsdax_file *file = make_file(&pool, "a", 2 * MIB);
	poison(file, 5, 1);
	int err = -ENOMEM;
	for (unsigned long nth = 1; err; nth++) {
		struct fsdax_map *map = NULL;
		failing_begin(nth, true);
		err = fsdax_map(file, 6 * PAGE, PAGE, NULL, NULL, &map);
		(void)failing_end();
		assert_true(err == 0 || err == -ENOMEM);
		assert_int_equal(stat_of(file).blocks, 512);
		fsdax_unmap(map);
	}
	assert_int_equal(try_map(file, 6, 500), 0);
	fsdax_close(file);
	assert_int_equal(pool_live_pages(&pool), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_pool, close_pool)
	static const struct CMUnitTest tests[] = {
		CASE(c6_5_a_bad_page_is_not_mapped_and_its_neighbours_are),
		CASE(c6_7_a_quarantine_over_bad_pages_holds_until_its_fence),
		CASE(c7_5_what_somebody_else_maps_too_is_not_repaired_before_its_fence),
		CASE(c6_7_what_is_about_to_be_quarantined_over_bad_pages_is_held),
		CASE(c7_5_what_is_quarantined_meanwhile_is_not_repaired),
		CASE(c6_5_all_is_lost_of_a_single_device_that_is_dead),
		CASE(c6_5_holders_are_told_which_offsets_are_lost),
		CASE(c6_5_overwriting_whole_pages_clears_them),
		CASE(c6_5_what_is_held_stays_so),
		CASE(c6_5_a_file_that_is_made_anew_leaves_its_bad_pages),
		CASE(c6_5_a_cut_through_a_bad_page_touches_nothing),
		CASE(c6_7_who_waits_for_a_dead_device_is_told),
		CASE(c6_5_without_memory_to_cut_nothing_is_mapped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
