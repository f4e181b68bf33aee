/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Nothing is read behind an array of ranges, the caller's or our own: each ends where a page ends, and the next page cannot be
 * touched. meson.build links this program so that calloc and free are these.
 */
#include <sys/mman.h>

#include "core_util.h"

void *__wrap_calloc(size_t n, size_t bytes);
void __wrap_free(void *at);
void __real_free(void *at);

enum { MOST = 8 };
static void *guarded[MOST];

/* Zeroed memory that ends at the end of a page. */
static void *guard(size_t bytes)
{
	assert_in_range(bytes, 1, PGMAP_PAGE_SIZE);
	char *pages = mmap(NULL, 2 * PGMAP_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(pages != MAP_FAILED);
	assert_int_equal(mprotect(pages + PGMAP_PAGE_SIZE, PGMAP_PAGE_SIZE, PROT_NONE), 0);
	return pages + PGMAP_PAGE_SIZE - bytes;
}

static void unguard(void *at)
{
	char *pages = (char *)((uintptr_t)at & ~(uintptr_t)(PGMAP_PAGE_SIZE - 1));
	assert_int_equal(munmap(pages, 2 * PGMAP_PAGE_SIZE), 0);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	for (size_t i = 0; i < MOST; i++)
		if (!guarded[i])
			return guarded[i] = guard(n * bytes);
	return NULL;
}

void __wrap_free(void *at)
{
	for (size_t i = 0; i < MOST; i++) {
		if (at && guarded[i] == at) {
			guarded[i] = NULL;
			unguard(at);
			return;
		}
	}
	__real_free(at);
}

static struct pgmap *make_ranges(size_t nranges)
{
	struct pgmap_range *ranges = guard(nranges * sizeof(*ranges));
	for (size_t i = 0; i < nranges; i++)
		ranges[i] = (struct pgmap_range){(i + 1) << 32, 16 * PGMAP_PAGE_SIZE};
	struct pgmap_params params = {.params_bytes = sizeof(params),
				      .type = PGMAP_GENERIC,
				      .ranges = ranges,
				      .nranges = nranges,
				      .name = "guarded"};
	struct pgmap *pgmap = NULL;
	assert_int_equal(pgmap_create(&params, &pgmap), 0);
	unguard(ranges);
	return pgmap;
}

static void c2_14_no_range_is_looked_for_behind_the_last(void **state)
{
	(void)state;
	for (size_t n = 1; n < 6; n++) {
		struct pgmap *pgmap = make_ranges(n);
		const uint64_t end = pgmap_end(pgmap),
			       outside[] = {end, end - 17, end + PUD_PAGES, UINT64_MAX >> 12, 16};
		uint64_t at;
		for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
			assert_int_equal(pgmap_pgoff_to_device(pgmap, outside[i], &at), -ERANGE);
			assert_int_equal(pgmap_device_to_pgoff(pgmap, outside[i] << PGMAP_PAGE_SHIFT, &at), -ERANGE);
			assert_int_equal(refused(pgmap, outside[i], 0), -ERANGE);
		}
		folio_put(request(pgmap, end - 1, 0));
		end_pgmap(pgmap);
	}
}

static void c4_1_a_holder_is_no_longer_than_it_says(void **state)
{
	(void)state;
	struct pgmap *pgmap = make_ranges(2);
	struct pgmap_holder *holder;
	char name[200];
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(pgmap_holder_create(pgmap, name, &holder), 0);
	assert_int_equal(strlen(pgmap_holder_name(holder)), 63);
	assert_int_equal(pgmap_holder_end(holder), 0);
	end_pgmap(pgmap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c2_14_no_range_is_looked_for_behind_the_last),
		cmocka_unit_test(c4_1_a_holder_is_no_longer_than_it_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
