/* SPDX-License-Identifier: BSD-3-Clause */
/* The choke point: what the log was told, replayed on an empty pool, is the same pool; what the log refused, is not. */
#include "fs/log.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "pool.h"

enum { MAX_RECORDS = 20000, ROUNDS = 3000, NAMES = 20 };

/* Records as a log would keep them: with copies of all that they point to. */
static struct fs_record records[MAX_RECORDS];
static size_t nrecords;
static int refuse;

static char *copy(const void *from, size_t bytes)
{
	char *to = malloc(bytes + 1);
	assert_non_null(to);
	if (bytes)
		memcpy(to, from, bytes);
	return to;
}

static int record(void *arg, const struct fs_record *r)
{
	assert_ptr_equal(arg, &nrecords);
	if (refuse)
		return -EIO;
	assert_true(nrecords < MAX_RECORDS);
	struct fs_record *mine = &records[nrecords++];
	*mine = *r;
	mine->name.text = copy(r->name.text, r->name.len);
	mine->to_name.text = copy(r->to_name.text, r->to_name.len);
	mine->extents = (void *)copy(r->extents, r->nextents * sizeof(*r->extents));
	return 0;
}

static void forget_records(void)
{
	for (; nrecords; nrecords--) {
		struct fs_record *r = &records[nrecords - 1];
		free((void *)(uintptr_t)r->name.text);
		free((void *)(uintptr_t)r->to_name.text);
		free((void *)(uintptr_t)r->extents);
	}
}

/* The whole pool as text: names, inodes, sizes, times, extents. */
struct text {
	char *at;
	size_t used, size;
	struct pool *pool;
	char dir[64];
};

static void print_extents(struct text *t, const char *path)
{
	struct fsdax_file *file;
	assert_int_equal(fsdax_open(t->pool->fs, path, 0, &file), 0);
	struct block *extent = block_first(&file->inode->extents.tree);
	for (; extent; extent = block_next(extent))
		t->used += (size_t)snprintf(t->at + t->used, t->size - t->used, " %d:%d:%d", (int)extent->key,
					    (int)extent->off, (int)extent->order);
	fsdax_close(file);
}

struct entry {
	char path[64];
	int is_dir;
};
struct entries {
	struct text *text;
	struct entry entry[2 * NAMES];
	int n;
};

static int print_entry(void *arg, const char *name, const struct fsdax_stat *st)
{
	struct entries *e = arg;
	struct text *t = e->text;
	struct entry *mine = &e->entry[e->n++];
	(void)snprintf(mine->path, sizeof(mine->path), "%.40s/%.20s", t->dir, name);
	mine->is_dir = st->type == FSDAX_DIR;
	t->used +=
		(size_t)snprintf(t->at + t->used, t->size - t->used, "\n%s %d %d %d %u %lld", mine->path, (int)st->ino,
				 (int)st->size_bytes, (int)st->blocks, st->order, (long long)st->mtime_ns);
	return 0;
}

static void print_dir(struct text *t, const char *dir)
{
	struct entries e = {.text = t};
	(void)snprintf(t->dir, sizeof(t->dir), "%s", dir);
	assert_int_equal(fsdax_readdir(t->pool->fs, *dir ? dir : "/", print_entry, &e), 0);
	for (int i = 0; i < e.n; i++) {
		if (e.entry[i].is_dir)
			print_dir(t, e.entry[i].path);
		else
			print_extents(t, e.entry[i].path);
	}
}

static char *print_pool(struct pool *pool)
{
	struct text t = {.size = 1 << 20, .pool = pool};
	t.at = calloc(1, t.size);
	assert_non_null(t.at);
	print_dir(&t, "");
	struct fsdax_statfs st = pool_statfs(pool);
	t.used += (size_t)snprintf(t.at + t.used, t.size - t.used, "\n%d %d %d %d", (int)st.used, (int)st.free,
				   (int)st.files, (int)st.dirs);
	for (int order = 0; order <= PGMAP_MAX_ORDER; order++)
		t.used += (size_t)snprintf(t.at + t.used, t.size - t.used, " %d", (int)st.free_by_order[order]);
	return t.at;
}

static uint64_t seed = 4711;

static uint64_t rnd(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

static void random_path(char path[24])
{
	if (rnd(3))
		(void)snprintf(path, 24, "d%d/n%d", (int)rnd(3), (int)rnd(NAMES));
	else
		(void)snprintf(path, 24, "%c%d", rnd(2) ? 'n' : 'd', (int)rnd(NAMES));
}

static void random_call(struct pool *pool)
{
	char path[24], to[24];
	struct fsdax_file *file;
	struct fsdax_map *map;
	random_path(path);
	random_path(to);
	switch (rnd(9)) {
	case 8:
		(void)fsdax_set_order(pool->fs, path, (unsigned)rnd(PGMAP_MAX_ORDER + 1));
		break;
	case 0:
		(void)fsdax_mkdir(pool->fs, path);
		break;
	case 1:
		(void)fsdax_rmdir(pool->fs, path);
		break;
	case 2:
		(void)fsdax_rename(pool->fs, path, to);
		break;
	case 3:
		(void)fsdax_unlink(pool->fs, path);
		break;
	case 4:
		if (fsdax_open(pool->fs, path, FSDAX_CREATE, &file) != 0)
			break;
		if (fsdax_resize_map(file, 1 + rnd(700000), rnd(2) ? FSDAX_TRUNC : 0, NULL, NULL, NULL, &map) == 0)
			fsdax_unmap(map);
		fsdax_close(file);
		break;
	case 5:
		if (fsdax_open(pool->fs, path, 0, &file) != 0)
			break;
		(void)fsdax_punch(file, rnd(150) * PAGE, (1 + rnd(50)) * PAGE, (enum fsdax_mode)rnd(3), 0);
		if (rnd(2) && fsdax_map(file, rnd(100) * PAGE, 20 * PAGE, NULL, NULL, &map) == 0)
			fsdax_unmap(map);
		fsdax_close(file);
		break;
	default:
		if (fsdax_open(pool->fs, path, FSDAX_CREATE, &file) != 0)
			break;
		(void)fsdax_truncate(file, rnd(700000));
		if (!rnd(4))
			(void)fsdax_unlink(pool->fs, path);
		fsdax_close(file);
	}
}

static void assert_replay_is_the_same(struct pool *pool)
{
	struct pool again;
	pool_open(&again, pool->dev->size_bytes, 0, NULL);
	for (size_t i = 0; i < nrecords; i++)
		assert_int_equal(fs_replay(again.fs, &records[i]), 0);
	char *a = print_pool(pool), *b = print_pool(&again);
	assert_string_equal(a, b);
	free(a);
	free(b);
	pool_close(&again);
}

static void replay_gives_the_same_pool(void **state)
{
	(void)state;
	struct pool pool;
	pool_open(&pool, 8 * MIB, 0, NULL);
	fs_set_log(pool.fs, record, &nrecords);
	for (int d = 0; d < 3; d++) {
		char name[] = {'d', (char)('0' + d), 0};
		assert_int_equal(fsdax_mkdir(pool.fs, name), 0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		random_call(&pool);
		if (i % 300 == 7)
			assert_replay_is_the_same(&pool); /* any prefix */
	}
	assert_true(nrecords > ROUNDS / 2);
	assert_replay_is_the_same(&pool);
	forget_records();
	pool_close(&pool);
}

static void c6_9_a_record_says_which_pages_were_kept_and_wiped(void **state)
{
	(void)state;
	struct pool pool;
	struct fsdax_map *held, *map;
	pool_open(&pool, 8 * MIB, 0, NULL);
	struct fsdax_file *file = make_file(&pool, "f", 0);
	for (uint64_t pages = 4; pages <= 12; pages += 4)
		assert_int_equal(fsdax_truncate(file, pages * PAGE), 0);
	held = map_range(file, 8 * PAGE, PAGE, NULL);
	fs_set_log(pool.fs, record, &nrecords);
	assert_int_equal(fsdax_resize_map(file, 12 * PAGE, FSDAX_TRUNC, NULL, NULL, NULL, &map), 0);
	assert_int_equal(nrecords, 1);
	assert_int_equal(records[0].keep_pages, 8);
	assert_int_equal(records[0].wiped_pages, 8);
	fsdax_unmap(map);
	assert_int_equal(fsdax_truncate(file, 5 * PAGE), 0);
	assert_int_equal(records[1].keep_pages, 5);
	assert_int_equal(records[1].wiped_pages, 0);
	fs_set_log(pool.fs, NULL, NULL);
	fsdax_unmap(held);
	fsdax_close(file);
	forget_records();
	pool_close(&pool);
}

static void what_the_log_refuses_has_not_happened(void **state)
{
	(void)state;
	struct pool pool;
	struct fsdax_file *file, *none = NULL;
	pool_open(&pool, 8 * MIB, 0, NULL);
	file = make_file(&pool, "f", 3 * MIB);
	assert_int_equal(fsdax_mkdir(pool.fs, "d"), 0);
	assert_int_equal(fsdax_mkdir(pool.fs, "e"), 0);
	fsdax_close(make_file(&pool, "g", PAGE));
	char *before = print_pool(&pool);
	fs_set_log(pool.fs, record, &nrecords);
	refuse = 1;
	assert_int_equal(fsdax_open(pool.fs, "new", FSDAX_CREATE, &none), -EIO);
	assert_int_equal(fsdax_open(pool.fs, "f", FSDAX_TRUNC, &none), -EIO);
	assert_int_equal(fsdax_mkdir(pool.fs, "new"), -EIO);
	assert_int_equal(fsdax_rmdir(pool.fs, "d"), -EIO);
	assert_int_equal(fsdax_unlink(pool.fs, "f"), -EIO);
	assert_int_equal(fsdax_rename(pool.fs, "f", "d/f"), -EIO);
	assert_int_equal(fsdax_rename(pool.fs, "f", "g"), -EIO);
	assert_int_equal(fsdax_rename(pool.fs, "d", "e"), -EIO);
	assert_int_equal(fsdax_truncate(file, 5 * MIB), -EIO);
	assert_int_equal(fsdax_truncate(file, 300 * PAGE), -EIO);
	assert_int_equal(fsdax_punch(file, PAGE, PAGE, FSDAX_DEFER, 0), -EIO);
	refuse = 0;
	fs_set_log(pool.fs, NULL, NULL);
	char *after = print_pool(&pool);
	assert_string_equal(before, after);
	free(before);
	free(after);
	fsdax_close(file);
	forget_records();
	pool_close(&pool);
}

static void a_block_that_is_bigger_than_any_folio_is_refused(void **state)
{
	(void)state;
	struct pool pool;
	pool_open(&pool, 2048ULL * MIB, 0, NULL); /* free blocks may be */
	fsdax_close(make_file(&pool, "f", 0));
	struct fsdax_stat st;
	assert_int_equal(fsdax_stat(pool.fs, "f", &st), 0);
	const struct fs_extent extent = {0, 0, PGMAP_MAX_ORDER + 1};
	const struct fs_record record = {
		.op = FS_SIZE, .ino = st.ino, .size_bytes = 2048ULL * MIB, .extents = &extent, .nextents = 1};
	assert_int_equal(fs_replay(pool.fs, &record), -EINVAL);
	assert_space(&pool, 0, 0);
	pool_close(&pool);
}

static void a_record_that_does_not_fit_is_refused(void **state)
{
	(void)state;
	struct pool pool;
	pool_open(&pool, 8 * MIB, 0, NULL);
	struct fsdax_file *file = make_file(&pool, "f", MIB);
	uint64_t ino = stat_of(file).ino, taken = block_first(&file->inode->extents.tree)->off;
	const struct fs_extent extent = {0, taken, 0};
	const struct fs_record bad[] = {
		{.op = (enum fs_op)99},
		{.op = FS_MAKE, .type = FSDAX_REG, .ino = ino, .parent = 1, .name = {"g", 1}},
		{.op = FS_MAKE, .type = FSDAX_REG, .ino = 50, .parent = ino, .name = {"g", 1}},
		{.op = FS_MAKE, .type = FSDAX_REG, .ino = 50, .parent = 1, .name = {"f", 1}},
		{.op = FS_REMOVE, .parent = 1, .name = {"g", 1}},
		{.op = FS_RENAME, .parent = 1, .name = {"g", 1}, .to_parent = 1, .to_name = {"h", 1}},
		{.op = FS_RENAME, .parent = 1, .name = {"f", 1}, .to_parent = 9, .to_name = {"h", 1}},
		{.op = FS_SIZE, .ino = 77},
		{.op = FS_SIZE, .ino = ino, .size_bytes = 2 * MIB, .extents = &extent, .nextents = 1},
		{.op = FS_DROP, .ino = ino},
		{.op = FS_ORDER, .ino = 77},
		{.op = FS_ORDER, .ino = ino, .order = PGMAP_MAX_ORDER + 1},
		{.op = FS_PUNCH, .ino = 77, .to_page = 1},
		{.op = FS_PUNCH, .ino = 1, .to_page = 1},
		{.op = FS_PUNCH, .ino = ino, .from_page = 2, .to_page = 1},
	};
	char *before = print_pool(&pool);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(fs_replay(pool.fs, &bad[i]), -EINVAL);
	char *after = print_pool(&pool);
	assert_string_equal(before, after);
	free(before);
	free(after);
	fsdax_close(file);
	pool_close(&pool);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(replay_gives_the_same_pool),
		cmocka_unit_test(c6_9_a_record_says_which_pages_were_kept_and_wiped),
		cmocka_unit_test(what_the_log_refuses_has_not_happened),
		cmocka_unit_test(a_record_that_does_not_fit_is_refused),
		cmocka_unit_test(a_block_that_is_bigger_than_any_folio_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
