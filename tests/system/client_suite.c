/* SPDX-License-Identifier: BSD-3-Clause */
/* client_suite.c - include/pgmap/client.h, sentence by sentence, on the target that $SUITE_TARGET names: "socket" (a server
 * process of its own) or an embedded pool. The same tests for both. */
#include "sys.h"

static struct sys_suite suite;
static struct pgmap_client *client;
static uint64_t granule; /* of the pool, in bytes */
enum { POOL_MIB = 64, RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE };

static int setup(void **state)
{
	(void)state;
	int err = sys_suite_begin(&suite);
	client = suite.client;
	if (!err)
		granule = UINT64_C(4096) << sys_info(client).granule_order;
	return err;
}

static int teardown(void **state)
{
	(void)state;
	return sys_suite_end(&suite);
}

static void open_says_why_it_fails(void **state)
{
	(void)state;
	struct pgmap_file *file = NULL;
	char path[1100];
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(pgmap_open(client, "/none", 0, &file), -ENOENT);
	assert_int_equal(pgmap_open(client, "/none/a", PGMAP_O_CREATE, &file), -ENOENT);
	assert_int_equal(pgmap_open(client, path, PGMAP_O_CREATE, &file), -ENAMETOOLONG);
	path[300] = 0;
	assert_int_equal(pgmap_open(client, path, PGMAP_O_CREATE, &file), -ENAMETOOLONG);
	assert_int_equal(pgmap_open(client, "/a/../b", PGMAP_O_CREATE, &file), -EINVAL);
	assert_int_equal(pgmap_open(client, "/a", 64, &file), -EINVAL);
	assert_int_equal(pgmap_open(client, NULL, 0, &file), -EINVAL);
	assert_int_equal(pgmap_mkdir(client, "/d"), 0);
	assert_int_equal(pgmap_open(client, "/d", 0, &file), -EISDIR);
	assert_null(file);
	assert_int_equal(pgmap_open(client, "/f", PGMAP_O_CREATE, &file), 0);
	assert_int_equal(pgmap_open(client, "/f", PGMAP_O_CREATE | PGMAP_O_EXCL, &(struct pgmap_file *){NULL}),
			 -EEXIST);
	assert_int_equal(pgmap_open(client, "/f/x", PGMAP_O_CREATE, &(struct pgmap_file *){NULL}), -ENOTDIR);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
	assert_int_equal(pgmap_rmdir(client, "/d"), 0);
}

static void a_file_has_the_size_that_it_was_given(void **state)
{
	(void)state;
	struct pgmap_file *file;
	struct pgmap_stat st, by_path;
	assert_int_equal(pgmap_open(client, "/f", PGMAP_O_CREATE, &file), 0);
	assert_int_equal(pgmap_truncate(file, 3 * MIB + 5), 0);
	assert_int_equal(pgmap_fstat(file, &st), 0);
	assert_int_equal(pgmap_stat(client, "f", &by_path), 0);
	assert_memory_equal(&st, &by_path, sizeof(st));
	assert_int_equal(st.size_bytes, 3 * MIB + 5);
	assert_int_equal(st.blocks, 3 * 256 + 1);
	assert_int_equal(st.nlink, 1);
	assert_int_equal(st.is_dir, 0);
	assert_int_equal(pgmap_truncate(file, (POOL_MIB + 1) * MIB), -EFBIG);
	assert_int_equal(pgmap_fstat(file, &by_path), 0);
	assert_int_equal(by_path.size_bytes, st.size_bytes);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
	assert_int_equal(pgmap_fstat(file, &st), 0);
	assert_int_equal(st.nlink, 0);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(sys_info(client).used, 0);
}

/* Whatever the granule is. */
static void a_file_has_whole_granules(void **state)
{
	(void)state;
	struct pgmap_file *file;
	struct pgmap_mapping *mapping;
	struct pgmap_stat st;
	uint64_t before = sys_info(client).free, pages = granule / 4096;
	mapping = sys_map(client, "/f", 1);
	assert_int_equal(sys_info(client).free, before - pages);
	assert_int_equal(*(char *)pgmap_mapping_address(mapping), 0);
	memset(pgmap_mapping_address(mapping), 'x', 1);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_open(client, "/f", 0, &file), 0);
	assert_int_equal(pgmap_truncate(file, 3 * granule), 0);
	assert_int_equal(pgmap_fstat(file, &st), 0);
	assert_int_equal(st.blocks, 3 * pages);
	assert_int_equal(pgmap_map(file, granule / 2, granule, RW, &mapping), -EINVAL);
	assert_int_equal(pgmap_map(file, granule, granule, RW, &mapping), 0);
	char *bytes = pgmap_mapping_address(mapping);
	for (uint64_t at = 0; at < granule; at += 512)
		assert_int_equal(bytes[at], 0);
	memset(bytes, 'y', granule);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_truncate(file, 1), 0);
	assert_int_equal(sys_info(client).free, before - pages);
	/* All that there is, and not one granule more; and no byte of it is an old one. */
	assert_int_equal(pgmap_open_map(client, "/g", PGMAP_O_CREATE, before * 4096, RW, &mapping), -ENOSPC);
	mapping = sys_map(client, "/g", (before - pages) * 4096);
	bytes = pgmap_mapping_address(mapping);
	for (uint64_t at = 0; at < (before - pages) * 4096; at += 512)
		assert_int_equal(bytes[at], 0);
	assert_int_equal(pgmap_truncate(file, granule + 1), -ENOSPC);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unlink(client, "/g"), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(sys_info(client).free, before);
}

static void map_answers_for_what_does_not_lie_in_the_file(void **state)
{
	(void)state;
	struct pgmap_file *file;
	struct pgmap_mapping *mapping = NULL;
	assert_int_equal(pgmap_open(client, "/f", PGMAP_O_CREATE, &file), 0);
	assert_int_equal(pgmap_map(file, 0, 0, RW, &mapping), -ERANGE);
	assert_int_equal(pgmap_truncate(file, 10000), 0);
	assert_int_equal(pgmap_map(file, 0, 10001, RW, &mapping), -ERANGE);
	assert_int_equal(pgmap_map(file, 12288, 0, RW, &mapping), -ERANGE);
	assert_int_equal(pgmap_map(file, 0, UINT64_MAX, RW, &mapping), -ERANGE);
	assert_int_equal(pgmap_map(file, UINT64_MAX & ~UINT64_C(4095), 4096, RW, &mapping), -ERANGE);
	assert_int_equal(pgmap_map(file, 1, 100, RW, &mapping), -EINVAL);
	assert_int_equal(pgmap_map(file, 0, 100, 0, &mapping), -EINVAL);
	assert_int_equal(pgmap_map(file, 0, 100, 4, &mapping), -EINVAL);
	assert_null(mapping);
	assert_int_equal(sys_info(client).live_pages, 0);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
}

static void two_mappings_of_a_file_show_the_same_bytes(void **state)
{
	(void)state;
	struct pgmap_file *file;
	struct pgmap_mapping *all, *part;
	assert_int_equal(pgmap_open(client, "/f", PGMAP_O_CREATE, &file), 0);
	assert_int_equal(pgmap_truncate(file, 5 * MIB + 100), 0);
	assert_int_equal(pgmap_map(file, 0, 0, RW, &all), 0);
	assert_int_equal(pgmap_map(file, 4 * MIB + 4096, 8192, PGMAP_MAP_READ, &part), 0);
	assert_int_equal(pgmap_close(file), 0);
	char *a = pgmap_mapping_address(all), *b = pgmap_mapping_address(part);
	assert_int_equal(pgmap_mapping_bytes(all), 5 * MIB + 100);
	assert_int_equal(pgmap_mapping_bytes(part), 8192);
	for (uint64_t at = 0; at < 5 * MIB + 100; at += 4096) {
		assert_int_equal(a[at], 0);
		a[at] = (char)(at >> 12);
	}
	assert_int_equal(b[0], a[4 * MIB + 4096]);
	assert_int_equal(b[4096], a[4 * MIB + 8192]);
	assert_int_equal((uintptr_t)a & (2 * MIB - 1), 0); /* its first extent is 4 MiB, at an aligned offset */
	assert_int_equal(sys_who(client, "/f", 0).rows, 2);
	assert_int_equal(pgmap_unmap(all), 0);
	assert_int_equal(pgmap_unmap(part), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
	assert_int_equal(sys_info(client).live_pages, 0);
	assert_int_equal(sys_info(client).used, 0);
}

static void open_map_makes_grows_and_leaves_nothing_when_it_fails(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping;
	struct pgmap_stat st;
	assert_int_equal(pgmap_open_map(client, "/f", 0, 4096, RW, &mapping), -ENOENT);
	assert_int_equal(pgmap_open_map(client, "/f", PGMAP_O_CREATE, 0, RW, &mapping), -ERANGE);
	assert_int_equal(pgmap_open_map(client, "/f", PGMAP_O_CREATE, (POOL_MIB + 1) * MIB, RW, &mapping), -EFBIG);
	assert_int_equal(pgmap_stat(client, "/f", &st), -ENOENT);
	mapping = sys_map(client, "/f", 4096);
	assert_int_equal(pgmap_unmap(mapping), 0);
	mapping = sys_map(client, "/g", (POOL_MIB - 1) * MIB);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_open_map(client, "/f", 0, 2 * MIB, RW, &mapping), -ENOSPC);
	assert_int_equal(pgmap_stat(client, "/f", &st), 0);
	assert_int_equal(st.size_bytes, 4096);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
	assert_int_equal(pgmap_unlink(client, "/g"), 0);
}

static bool is_all(const struct pgmap_mapping *mapping, char byte)
{
	const char *at = pgmap_mapping_address(mapping);
	return at[0] == byte && memcmp(at, at + 1, pgmap_mapping_bytes(mapping) - 1) == 0;
}

/* A pool that is full to the last page but one MiB: once with the file mapped, so that its new pages find no room. */
static void c6_9_open_map_truncates_and_maps_or_does_neither(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", 40 * MIB), *anew = NULL;
	struct pgmap_stat before, after;
	memset(pgmap_mapping_address(mapping), 'x', 40 * MIB);
	assert_int_equal(pgmap_unmap(sys_map(client, "/rest", (POOL_MIB - 41) * MIB)), 0);
	assert_int_equal(pgmap_stat(client, "/f", &before), 0);
	uint64_t live = sys_info(client).live_pages;
	assert_int_equal(pgmap_open_map(client, "/f", PGMAP_O_TRUNC, 3 * MIB, RW, &anew), -ENOSPC);
	assert_int_equal(pgmap_open_map(client, "/f", PGMAP_O_TRUNC, 0, RW, &anew), -ERANGE);
	assert_int_equal(pgmap_open_map(client, "/f", PGMAP_O_TRUNC, (POOL_MIB + 1) * MIB, RW, &anew), -EFBIG);
	assert_int_equal(pgmap_open_map(client, "/f", PGMAP_O_TRUNC | PGMAP_O_CREATE | PGMAP_O_EXCL, MIB, RW, &anew),
			 -EEXIST);
	assert_int_equal(pgmap_drain_pool(client, 0), -ETIMEDOUT);
	assert_int_equal(pgmap_open_map(client, "/f", PGMAP_O_TRUNC, MIB, RW, &anew), -ENODEV);
	assert_int_equal(pgmap_drain_cancel(client), 0);
	assert_null(anew);
	assert_int_equal(pgmap_stat(client, "/f", &after), 0);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(sys_info(client).live_pages, live);
	assert_int_equal(sys_info(client).waiting, 0);
	assert_int_equal(pgmap_pin(mapping, 0, 40 * MIB, PGMAP_PIN_LOCAL), 0); /* nothing of it has gone */
	assert_int_equal(pgmap_unpin(mapping, 0, 40 * MIB, PGMAP_PIN_LOCAL), 0);
	assert_true(is_all(mapping, 'x'));
	assert_int_equal(pgmap_open_map(client, "/f", PGMAP_O_TRUNC, MIB, RW, &anew), 0); /* that much there is */
	assert_true(is_all(anew, 0));
	assert_true(is_all(mapping, 'x')); /* its pages are its own until it lets go */
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), -ESTALE);
	assert_int_equal(pgmap_unmap(mapping), 0);
	memset(pgmap_mapping_address(anew), 'y', MIB);
	assert_int_equal(pgmap_unmap(anew), 0);
	assert_int_equal(pgmap_open_map(client, "/f", PGMAP_O_TRUNC, 41 * MIB, RW, &anew),
			 0); /* mapped by nobody: all fits */
	assert_true(is_all(anew, 0));
	assert_int_equal(sys_info(client).free, 0);
	assert_int_equal(pgmap_unmap(anew), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
	assert_int_equal(pgmap_unlink(client, "/rest"), 0);
}

static void a_mapping_that_is_pinned_stays(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", 3 * MIB + 4096);
	assert_int_equal(pgmap_pin(mapping, 0, 0, PGMAP_PIN_LOCAL), -EINVAL);
	assert_int_equal(pgmap_pin(mapping, 0, 3 * MIB + 4097, PGMAP_PIN_LOCAL), -EINVAL);
	assert_int_equal(pgmap_pin(mapping, 3 * MIB + 4096, 1, PGMAP_PIN_LOCAL), -EINVAL);
	assert_int_equal(pgmap_pin(mapping, 1, UINT64_MAX, PGMAP_PIN_LOCAL), -EINVAL);
	assert_int_equal(pgmap_pin(mapping, 0, 1, 2), -EINVAL);
	assert_int_equal(pgmap_pin(mapping, 0, 1, -1), -EINVAL);
	assert_int_equal(pgmap_pin(mapping, 0, 3 * MIB + 4096, PGMAP_PIN_REMOTE), 0);
	assert_int_equal(pgmap_pin(mapping, 2 * MIB, 1, PGMAP_PIN_LOCAL), 0);
	struct sys_who who = sys_who(client, "/f", 0);
	assert_int_equal(who.refs, 3); /* 2 MiB, 1 MiB, 4 KiB */
	assert_int_equal(who.pins_remote, 3);
	assert_int_equal(who.pins_local, 1);
	assert_int_equal(pgmap_unpin(mapping, 0, 1, PGMAP_PIN_LOCAL), -EINVAL);
	assert_int_equal(pgmap_unpin(mapping, 0, 3 * MIB, PGMAP_PIN_LOCAL), -EINVAL);
	assert_int_equal(sys_who(client, "/f", 0).pins_local, 1);
	assert_int_equal(pgmap_unmap(mapping), -EBUSY);
	assert_int_equal(pgmap_unpin(mapping, 0, 3 * MIB + 4096, PGMAP_PIN_REMOTE), 0);
	assert_int_equal(pgmap_unmap(mapping), -EBUSY);
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0); /* what was called off is as before */
	assert_int_equal(pgmap_unpin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(mapping, 3 * MIB - 1, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
}

/* c7.9: a pin over a truncation stays, and its pages with it; a new one is told why not. */
static void c7_9_pins_on_a_range_that_has_gone_are_stale(void **state)
{
	(void)state;
	struct pgmap_file *file;
	struct pgmap_mapping *mapping = sys_map(client, "/f", 4 * MIB + 8192);
	char *bytes = pgmap_mapping_address(mapping);
	memset(bytes + 4 * MIB, 'x', 8192);
	assert_int_equal(pgmap_pin(mapping, 4 * MIB, 8192, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_open(client, "/f", 0, &file), 0);
	assert_int_equal(pgmap_truncate(file, 4 * MIB), 0);
	assert_int_equal(sys_info(client).waiting, 2);
	assert_int_equal(pgmap_pin(mapping, 4 * MIB, 1, PGMAP_PIN_LOCAL), -ESTALE);
	assert_int_equal(pgmap_pin(mapping, 4 * MIB - 1, 2, PGMAP_PIN_LOCAL), -ESTALE);
	assert_int_equal(sys_who(client, "/f", 0).pins_local, 1); /* all or none */
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	/* What comes next in the file lies elsewhere. */
	assert_int_equal(pgmap_truncate(file, 4 * MIB + 8192), 0);
	struct pgmap_mapping *again;
	assert_int_equal(pgmap_map(file, 4 * MIB, 8192, RW, &again), 0);
	memset(pgmap_mapping_address(again), 'y', 8192);
	for (unsigned i = 0; i < 8192; i++)
		assert_int_equal(bytes[4 * MIB + i], 'x');
	assert_int_equal(pgmap_unpin(mapping, 4 * MIB, 8192, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(sys_info(client).waiting, 0);
	assert_int_equal(pgmap_unmap(again), 0);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
}

static void an_unlinked_file_lives_until_it_is_unmapped(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", MIB);
	strcpy(pgmap_mapping_address(mapping), "still here");
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
	assert_string_equal(sys_who(client, NULL, 0).path, "/f (deleted)");
	assert_string_equal(pgmap_mapping_address(mapping), "still here");
	assert_int_equal(sys_info(client).free, POOL_MIB * 256 - 256);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(sys_info(client).free, POOL_MIB * 256);
}

struct names {
	char text[256];
	int stop_at;
};

static int add_name(void *arg, const char *name, const struct pgmap_stat *st)
{
	struct names *names = arg;
	struct pgmap_stat other;
	size_t at = strlen(names->text);
	(void)snprintf(names->text + at, sizeof(names->text) - at, "%s%s ", name, st->is_dir ? "/" : "");
	assert_int_equal(pgmap_stat(client, "/", &other), 0); /* other calls may be made */
	return names->stop_at && --names->stop_at == 0 ? 77 : 0;
}

static void names_are_listed_moved_and_removed(void **state)
{
	(void)state;
	struct names names = {0};
	struct pgmap_file *file;
	assert_int_equal(pgmap_readdir(client, "/", add_name, &names), 0);
	assert_string_equal(names.text, "");
	assert_int_equal(pgmap_mkdir(client, "/d"), 0);
	assert_int_equal(pgmap_mkdir(client, "/d"), -EEXIST);
	assert_int_equal(pgmap_open(client, "/d/b", PGMAP_O_CREATE, &file), 0);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(pgmap_rename(client, "/d/b", "/a"), 0);
	assert_int_equal(pgmap_rename(client, "/d/b", "/a"), -ENOENT);
	assert_int_equal(pgmap_rename(client, "/d", "/d/e"), -EINVAL);
	assert_int_equal(pgmap_readdir(client, "/", add_name, &names), 0);
	assert_string_equal(names.text, "a d/ ");
	names = (struct names){.stop_at = 1};
	assert_int_equal(pgmap_readdir(client, "/", add_name, &names), 77);
	assert_string_equal(names.text, "a ");
	assert_int_equal(pgmap_readdir(client, "/a", add_name, &names), -ENOTDIR);
	assert_int_equal(pgmap_rmdir(client, "/a"), -ENOTDIR);
	assert_int_equal(pgmap_unlink(client, "/d"), -EISDIR);
	assert_int_equal(pgmap_rmdir(client, "/d"), 0);
	assert_int_equal(pgmap_unlink(client, "/a"), 0);
	assert_int_equal(pgmap_who(client, "/a", sys_who_row, NULL), -ENOENT);
}

/* Many extents, many pieces and runs: the answer travels in a memfd, and every page is where it belongs. */
static void a_file_in_many_pieces_is_one_range(void **state)
{
	(void)state;
	enum { FILES = 400 };
	char path[32];
	struct pgmap_mapping *mapping;
	uint64_t before = sys_info(client).free;
	mapping = sys_map(client, "/rest", (before - 2 * FILES) * 4096);
	assert_int_equal(pgmap_unmap(mapping), 0);
	for (int i = 0; i < 2 * FILES; i++) {
		(void)snprintf(path, sizeof(path), "/%d", i);
		assert_int_equal(pgmap_unmap(sys_map(client, path, 4096)), 0);
	}
	for (int i = 0; i < 2 * FILES; i += 2) {
		(void)snprintf(path, sizeof(path), "/%d", i);
		assert_int_equal(pgmap_unlink(client, path), 0);
	}
	struct pgmap_stat st;
	mapping = sys_map(client, "/pieces", FILES * 4096);
	assert_int_equal(pgmap_stat(client, "/pieces", &st), 0);
	assert_true(st.extents > 100);
	unsigned char *bytes = pgmap_mapping_address(mapping);
	for (unsigned i = 0; i < FILES; i++) {
		assert_int_equal(bytes[i * 4096], 0);
		bytes[i * 4096] = (unsigned char)i;
	}
	assert_int_equal(pgmap_pin(mapping, 0, FILES * 4096, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(sys_who(client, "/pieces", 0).pins_local, sys_who(client, "/pieces", 0).refs);
	assert_int_equal(pgmap_unpin(mapping, 0, FILES * 4096, PGMAP_PIN_LOCAL), 0);
	struct pgmap_file *file;
	struct pgmap_mapping *page;
	assert_int_equal(pgmap_open(client, "/pieces", 0, &file), 0);
	for (unsigned i = 0; i < FILES; i += 37) {
		assert_int_equal(pgmap_map(file, i * 4096, 4096, PGMAP_MAP_READ, &page), 0);
		assert_int_equal(*(unsigned char *)pgmap_mapping_address(page), (unsigned char)i);
		assert_int_equal(pgmap_unmap(page), 0);
	}
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unlink(client, "/pieces"), 0);
	assert_int_equal(pgmap_unlink(client, "/rest"), 0);
	for (int i = 1; i < 2 * FILES; i += 2) {
		(void)snprintf(path, sizeof(path), "/%d", i);
		assert_int_equal(pgmap_unlink(client, path), 0);
	}
	assert_int_equal(sys_info(client).free, before);
}

static void a_drain_waits_for_ones_own_mappings_and_can_be_called_off(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", 2 * MIB), *other;
	assert_int_equal(pgmap_drain_pool(client, 0), -ETIMEDOUT);
	assert_int_equal(pgmap_drain_pool(client, 20), -ETIMEDOUT);
	assert_int_equal(sys_info(client).state, PGMAP_DYING);
	assert_int_equal(pgmap_open_map(client, "/g", PGMAP_O_CREATE, 4096, RW, &other), -ENODEV);
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), -ENODEV);
	assert_int_equal(pgmap_drain_cancel(client), 0);
	assert_int_equal(pgmap_drain_cancel(client), 0);
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(mapping, 0, 1, PGMAP_PIN_LOCAL), 0);
	/* A range that has gone stays gone. */
	struct pgmap_file *file;
	assert_int_equal(pgmap_open(client, "/f", PGMAP_O_TRUNC, &file), 0);
	assert_int_equal(pgmap_drain_pool(client, 0), -ETIMEDOUT);
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), -ESTALE);
	assert_int_equal(pgmap_drain_cancel(client), 0);
	assert_int_equal(pgmap_pin(mapping, 0, 1, PGMAP_PIN_LOCAL), -ESTALE);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
}

static void fence_knows_the_dead_from_the_living(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", 4096);
	assert_int_equal(pgmap_fence(client, 12345), -ENOENT);
	assert_int_equal(pgmap_fence(client, sys_who(client, NULL, 0).holder_id), -EBUSY);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
}

static void connect_says_why_it_fails(void **state)
{
	(void)state;
	struct pgmap_client *none;
	char path[200];
	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(pgmap_connect("/nonexistent/socket", &none), -ENOENT);
	assert_int_equal(pgmap_connect("unix:", &none), -EINVAL);
	assert_int_equal(pgmap_connect(path, &none), -ENAMETOOLONG);
	assert_int_equal(pgmap_connect("embedded:tape:size=1M", &none), -EINVAL);
	assert_int_equal(pgmap_connect("embedded:memfd:size=4097", &none), -EINVAL);
	assert_int_equal(pgmap_disconnect(NULL), 0);
}

int main(void)
{
	const struct CMUnitTest any_granule[] = {
		cmocka_unit_test(open_says_why_it_fails),
		cmocka_unit_test(a_file_has_whole_granules),
		cmocka_unit_test(names_are_listed_moved_and_removed),
		cmocka_unit_test(a_drain_waits_for_ones_own_mappings_and_can_be_called_off),
		cmocka_unit_test(fence_knows_the_dead_from_the_living),
		cmocka_unit_test(connect_says_why_it_fails),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_says_why_it_fails),
		cmocka_unit_test(a_file_has_the_size_that_it_was_given),
		cmocka_unit_test(a_file_has_whole_granules),
		cmocka_unit_test(map_answers_for_what_does_not_lie_in_the_file),
		cmocka_unit_test(two_mappings_of_a_file_show_the_same_bytes),
		cmocka_unit_test(open_map_makes_grows_and_leaves_nothing_when_it_fails),
		cmocka_unit_test(c6_9_open_map_truncates_and_maps_or_does_neither),
		cmocka_unit_test(a_mapping_that_is_pinned_stays),
		cmocka_unit_test(c7_9_pins_on_a_range_that_has_gone_are_stale),
		cmocka_unit_test(an_unlinked_file_lives_until_it_is_unmapped),
		cmocka_unit_test(names_are_listed_moved_and_removed),
		cmocka_unit_test(a_file_in_many_pieces_is_one_range),
		cmocka_unit_test(a_drain_waits_for_ones_own_mappings_and_can_be_called_off),
		cmocka_unit_test(fence_knows_the_dead_from_the_living),
		cmocka_unit_test(connect_says_why_it_fails),
	};
	const char *kind = getenv("SYS_DEVICE");
	if (getenv("SYS_BIG_PAGES") || (kind && strcmp(kind, "hugetlb") == 0)) /* the others count in pages of 4 KiB */
		return cmocka_run_group_tests(any_granule, setup, teardown);
	return cmocka_run_group_tests(tests, setup, teardown);
}
