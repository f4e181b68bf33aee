/* SPDX-License-Identifier: BSD-3-Clause */
/* What has to be flushed is found out, and flushed; where libpmem2 is made to believe in persistent memory, by its own word for
 * tests (PMEM2_FORCE_GRANULARITY). The real thing: tests/vm/machines/nvdimm.sh. */
#include "dev_util.h"

#include "dev/persist.h"

enum { BYTES = 64 << 10 };

static int fd = -1;

static int set_up(void **state)
{
	(void)state;
	char path[64];
	const char *tmp = getenv("TMPDIR");
	(void)snprintf(path, sizeof(path), "%.40s/pgmap-per-XXXXXX", tmp ? tmp : "/tmp");
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	return ftruncate(fd, BYTES);
}

static int tear_down(void **state)
{
	(void)state;
	(void)unsetenv("PMEM2_FORCE_GRANULARITY");
	return close(fd);
}

static void what_is_to_be_flushed_of_a_file_are_pages(void **state)
{
	(void)state;
	struct persist persist;
	persist_init(&persist, fd, BYTES, true);
	assert_int_equal(persist.granularity, DEV_PERSIST_PAGE);
	assert_null(persist.map);
	assert_int_equal(persist_flush(&persist, BYTES, 0), 0);
	persist_exit(&persist);
}

static void what_cannot_be_mapped_is_not_flushed(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	struct persist persist = {.granularity = DEV_PERSIST_PAGE, .fd = ends[0]};
	assert_int_equal(persist_flush(&persist, 0, 4096), -ENODEV);
	assert_int_equal(close(ends[0]) | close(ends[1]), 0);
	assert_int_equal(persist_flush(&persist, 0, 4096), -EBADF);
}

static unsigned syncs;
static int sync_error;

int __wrap_msync(void *at, size_t len, int flags);
int __wrap_msync(void *at, size_t len, int flags)
{
	(void)at;
	syncs++;
	assert_int_equal((len + 4095) / 4096, 2);
	assert_int_equal(flags, MS_SYNC);
	errno = sync_error;
	return sync_error ? -1 : 0;
}

static void pages_are_flushed_by_msync(void **state)
{
	(void)state;
	struct persist persist = {.granularity = DEV_PERSIST_PAGE, .fd = fd};
	syncs = 0;
	assert_int_equal(persist_flush(&persist, 4096, 8192), 0);
	assert_int_equal(persist_flush(&persist, 4097, 4096), 0); /* it lies on two */
	sync_error = EIO;
	assert_int_equal(persist_flush(&persist, 0, 8192), -EIO);
	sync_error = 0;
	assert_int_equal(syncs, 3);
}

static void volatile_memory_needs_nothing_and_what_is_unknown_is_refused(void **state)
{
	(void)state;
	struct persist none = {0}, unknown;
	assert_int_equal(none.granularity, DEV_PERSIST_NONE);
	assert_int_equal(persist_flush(&none, 0, 4096), 0);
	persist_exit(&none);
	persist_init(&unknown, -1, 4096, false); /* nothing can map this */
	assert_int_equal(unknown.granularity, DEV_PERSIST_UNKNOWN);
	assert_int_equal(persist_flush(&unknown, 0, 4096), -EOPNOTSUPP);
	persist_exit(&unknown);
}

static void less_than_a_page_is_flushed_through_a_mapping(void **state)
{
	(void)state;
	static const struct {
		const char *word;
		enum dev_persistence is;
	} forced[] = {{"CACHE_LINE", DEV_PERSIST_CACHE_LINE}, {"BYTE", DEV_PERSIST_BYTE}, {"PAGE", DEV_PERSIST_PAGE}};
	struct persist persist;
	for (size_t i = 0; i < sizeof(forced) / sizeof(forced[0]); i++) {
		assert_int_equal(setenv("PMEM2_FORCE_GRANULARITY", forced[i].word, 1), 0);
		persist_init(&persist, fd, BYTES, true);
		bool known = PERSIST_BY_LINE; /* by this build */
		assert_int_equal(persist.granularity, known ? forced[i].is : DEV_PERSIST_PAGE);
		assert_int_equal(persist.map != NULL, known && forced[i].is != DEV_PERSIST_PAGE);
		assert_int_equal(pwrite(fd, "stored", 6, 8190), 6);
		assert_int_equal(persist_flush(&persist, 8190, 6), 0); /* by the page: of two */
		persist_exit(&persist);
		assert_null(persist.map);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_to_be_flushed_of_a_file_are_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pages_are_flushed_by_msync, set_up, tear_down),
		cmocka_unit_test(what_cannot_be_mapped_is_not_flushed),
		cmocka_unit_test(volatile_memory_needs_nothing_and_what_is_unknown_is_refused),
		cmocka_unit_test_setup_teardown(less_than_a_page_is_flushed_through_a_mapping, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
