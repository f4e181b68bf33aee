/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool under random calls: against a model in one thread, and against each other in four.
 *
 * Both watch for the two unforgivable things from outside, in the bytes of the pages: a page that changes under its
 * holder was given away early (c6.8), and a fresh page that is not zero shows its former owner (c6.9). A build with
 * -Dfault=early, -Dfault=stale or -Dfault=unwiped must fail here; scripts/test (suite faults) sees to that.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "pool.h"

enum { POOL_PAGES = 3000, FILES = 6, MAPS = 10, MAX_PAGES = 1200, ROUNDS = 6000 };

static uint64_t rnd(uint64_t *seed, uint64_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed % n;
}

/* One memory, or a stack of three, with as many pages. */
enum layout { ONE, LINEAR, STRIPE };
static enum layout layout;

static void open_layout(struct pool *pool)
{
	static const uint64_t parts[] = {(uint64_t)900 * PAGE, (uint64_t)1301 * PAGE, (uint64_t)799 * PAGE, 0};
	static const uint64_t equal[] = {(uint64_t)1000 * PAGE, (uint64_t)1000 * PAGE, (uint64_t)1000 * PAGE, 0};
	if (layout == ONE)
		pool_open(pool, (uint64_t)POOL_PAGES * PAGE, 0, NULL);
	else if (layout == LINEAR)
		pool_open_stack(pool, parts, 0, NULL);
	else
		pool_open_stack(pool, equal, 8, NULL);
}

static void close_layout(struct pool *pool)
{
	if (layout == ONE)
		pool_close(pool);
	else
		pool_close_stack(pool);
}

/* To whom references are charged: on one memory a holder of its pgmap. */
struct who {
	struct pgmap_holder *one;
	struct fsdax_holder *all;
};

static void who_create(struct pool *pool, const char *name, struct who *who)
{
	if (layout == ONE)
		assert_int_equal(pgmap_holder_create(pool->pgmap, name, &who->one), 0);
	else
		assert_int_equal(fsdax_holder_create(pool->fs, name, &who->all), 0);
}

static void who_end(struct who *who)
{
	if (who->one)
		assert_int_equal(pgmap_holder_end(who->one), 0);
	if (who->all)
		assert_int_equal(fsdax_holder_end(who->all), 0);
	*who = (struct who){NULL, NULL};
}

static int map_for(struct fsdax_file *file, uint64_t offset, uint64_t len, const struct who *who,
		   struct fsdax_map **out)
{
	if (who->all)
		return fsdax_map_for(file, offset, len, who->all, NULL, NULL, out);
	return fsdax_map(file, offset, len, who->one, NULL, out);
}

/* The model: a byte for each page of each file, and of each page that a mapping has though its file lost it. */
struct model_file {
	struct fsdax_file *file;
	char name[8];
	uint64_t pages;
	char byte[MAX_PAGES];
	char hole[MAX_PAGES];
};

struct model_map {
	struct fsdax_map *map;
	struct who holder;
	struct model_file *file;
	uint64_t first, end;     /* file pages */
	char is_lost[MAX_PAGES]; /* the others are still the file's */
	char lost[MAX_PAGES];
};

static struct pool pool;
static struct model_file files[FILES];
static struct model_map maps[MAPS];
static uint64_t seed = 20260101;

static char expected(const struct model_map *m, uint64_t page)
{
	return m->is_lost[page] ? m->lost[page] : m->file->byte[page];
}

static void check_map(const struct model_map *m)
{
	uint64_t page = m->first, len;
	for (uint64_t i = 0; i < fsdax_map_npieces(m->map); i++) {
		const char *p = piece_at(&pool, m->map, i, &len);
		for (; len; len -= PAGE, p += PAGE, page++) {
			if (!is_all(p, PAGE, expected(m, page)))
				fail_msg("page %d of %s: %d, not %d", (int)page, m->file->name, p[0],
					 expected(m, page));
		}
	}
	assert_int_equal(page, m->end);
}

/* Only pages that are still the file's: others' mappings may have the same lost ones. */
static void write_map(struct model_map *m)
{
	uint64_t page = m->first, len;
	char byte = (char)(1 + rnd(&seed, 100));
	for (uint64_t i = 0; i < fsdax_map_npieces(m->map); i++) {
		char *p = piece_at(&pool, m->map, i, &len);
		for (; len; len -= PAGE, p += PAGE, page++) {
			if (m->is_lost[page])
				continue;
			memset(p, byte, PAGE);
			m->file->byte[page] = byte;
		}
	}
}

static uint64_t model_blocks(const struct model_file *f)
{
	uint64_t n = 0;
	for (uint64_t page = 0; page < f->pages; page++)
		n += !f->hole[page];
	return n;
}

static void model_lose(struct model_file *f, uint64_t from, uint64_t to)
{
	for (struct model_map *m = maps; m < maps + MAPS; m++) {
		for (uint64_t page = from; m->map && m->file == f && page < to; page++) {
			if (page < m->first || page >= m->end || m->is_lost[page])
				continue;
			m->is_lost[page] = 1;
			m->lost[page] = f->byte[page];
		}
	}
}

static void model_punch(struct model_file *f)
{
	uint64_t from = rnd(&seed, MAX_PAGES), to = from + 1 + rnd(&seed, 300);
	assert_int_equal(fsdax_punch(f->file, from * PAGE, (to - from) * PAGE, FSDAX_DEFER, 0), 0);
	if (to > f->pages)
		to = f->pages;
	model_lose(f, from, to);
	for (; from < to; from++) {
		f->byte[from] = 0;
		f->hole[from] = 1;
	}
	assert_int_equal(stat_of(f->file).blocks, model_blocks(f));
}

static void model_truncate(struct model_file *f)
{
	uint64_t pages = rnd(&seed, MAX_PAGES);
	int err = fsdax_truncate(f->file, pages * PAGE);
	if (err) {
		assert_int_equal(err, -ENOSPC);
		assert_true(pages > f->pages && pool_statfs(&pool).free < pages - f->pages);
		assert_int_equal(stat_of(f->file).blocks, model_blocks(f));
		return;
	}
	model_lose(f, pages, f->pages);
	if (pages > f->pages) {
		memset(f->byte + f->pages, 0, pages - f->pages);
		memset(f->hole + f->pages, 0, pages - f->pages);
	}
	f->pages = pages;
	assert_int_equal(stat_of(f->file).blocks, model_blocks(f));
}

static void model_map(struct model_map *m)
{
	struct model_file *f = &files[rnd(&seed, FILES)];
	if (!f->pages)
		return;
	m->file = f;
	m->first = rnd(&seed, f->pages);
	m->end = m->first + 1 + rnd(&seed, f->pages - m->first);
	memset(m->is_lost, 0, sizeof(m->is_lost));
	int err = map_for(f->file, m->first * PAGE, (m->end - m->first) * PAGE - rnd(&seed, PAGE), &m->holder, &m->map);
	if (err) {
		assert_int_equal(err, -ENOSPC); /* for its holes */
		m->map = NULL;
		return;
	}
	memset(f->hole + m->first, 0, m->end - m->first);
	assert_int_equal(stat_of(f->file).blocks, model_blocks(f));
	check_map(m);
}

static void model_unmap(struct model_map *m)
{
	check_map(m);
	fsdax_unmap(m->map);
	m->map = NULL;
}

static void model_rename(struct model_file *f)
{
	char name[8];
	(void)snprintf(name, sizeof(name), "%c%d", (char)('a' + rnd(&seed, 26)), (int)(f - files));
	assert_int_equal(fsdax_rename(pool.fs, f->name, name), 0);
	memcpy(f->name, name, sizeof(name));
}

static void model_step(void)
{
	struct model_map *m = &maps[rnd(&seed, MAPS)];
	switch (rnd(&seed, 9)) {
	case 0:
	case 1:
		model_truncate(&files[rnd(&seed, FILES)]);
		break;
	case 2:
		model_rename(&files[rnd(&seed, FILES)]);
		break;
	case 3:
	case 4:
		if (m->map)
			write_map(m);
		break;
	case 5:
		model_punch(&files[rnd(&seed, FILES)]);
		break;
	default:
		if (m->map)
			model_unmap(m);
		else
			model_map(m);
	}
}

/* keep_bytes, cpu_percent: as for fsdax_set_wiping(). */
static void random_calls_agree_with_a_model(uint64_t keep_bytes, unsigned cpu_percent)
{
	open_layout(&pool);
	assert_int_equal(fsdax_set_wiping(pool.fs, keep_bytes, cpu_percent), 0);
	memset(files, 0, sizeof(files));
	memset(maps, 0, sizeof(maps));
	for (int i = 0; i < FILES; i++) {
		(void)snprintf(files[i].name, sizeof(files[i].name), "x%d", i);
		files[i].file = make_file(&pool, files[i].name, 0);
	}
	for (int i = 0; i < MAPS; i++) { /* some charged to themselves, some to nobody: both kinds of split */
		if (i % 3)
			who_create(&pool, "map", &maps[i].holder);
	}
	for (int i = 0; i < ROUNDS; i++) {
		model_step();
		uint64_t used = 0;
		for (int f = 0; f < FILES; f++)
			used += model_blocks(&files[f]);
		assert_int_equal(pool_statfs(&pool).used, used);
	}
	for (int i = 0; i < MAPS; i++) {
		if (maps[i].map)
			model_unmap(&maps[i]);
		who_end(&maps[i].holder);
	}
	assert_int_equal(pool_statfs(&pool).waiting, 0);
	for (int i = 0; i < FILES; i++) {
		assert_int_equal(fsdax_truncate(files[i].file, 0), 0);
		fsdax_close(files[i].file);
	}
	assert_space(&pool, 0, 0);
	assert_int_equal(pool_live_pages(&pool), 0);
	close_layout(&pool);
}

static void c6_8_c6_9_random_calls_agree_with_a_model(void **state)
{
	(void)state;
	random_calls_agree_with_a_model(0, 0);
}

static void c6_9_so_they_do_where_pages_are_wiped_late(void **state)
{
	(void)state;
	random_calls_agree_with_a_model((uint64_t)POOL_PAGES * PAGE / 2, 0);
}

static void c6_9_so_they_do_where_pages_are_wiped_ahead(void **state)
{
	(void)state;
	random_calls_agree_with_a_model((uint64_t)POOL_PAGES * PAGE, 100);
}

/*
 * Four threads. Each makes files that only it writes, in its own byte, whole, at once; holds their mappings for a while
 * and looks whether they still are as it left them. Meanwhile all of them truncate, unlink and rename everybody's.
 */
enum { THREADS = 4, SLOTS = 6, STORM_ROUNDS = 1500, NAMES = 24 };

struct worker {
	pthread_t thread;
	uint64_t seed;
	char byte;
	struct who holder;
	struct fsdax_map *slot[SLOTS];
	const char *wrong;
};

static void random_name(struct worker *w, char name[16])
{
	(void)snprintf(name, 16, "d%d/f%d", (int)rnd(&w->seed, 2), (int)rnd(&w->seed, NAMES));
}

static void check(struct worker *w, int ok, const char *what)
{
	if (!ok)
		w->wrong = what;
}

static void let_go(struct worker *w, struct fsdax_map **slot)
{
	check(w, map_is_all(&pool, *slot, w->byte), "a held page changed");
	fsdax_unmap(*slot);
	*slot = NULL;
}

/* A file of its own, not yet anyone else's: made with a name that no other thread uses, and renamed when it is filled. */
static void make_one(struct worker *w, struct fsdax_map **slot)
{
	char mine[16], name[16];
	struct fsdax_file *file;
	uint64_t bytes = (1 + rnd(&w->seed, 600)) * PAGE;
	(void)snprintf(mine, sizeof(mine), "new%d", w->byte);
	check(w, fsdax_open(pool.fs, mine, FSDAX_CREATE | FSDAX_EXCL, &file) == 0, "create");
	int err = fsdax_truncate(file, bytes);
	if (!err) {
		static const struct who nobody;
		err = map_for(file, 0, bytes, rnd(&w->seed, 4) ? &w->holder : &nobody, slot);
		check(w, err == 0, "map");
		check(w, map_is_all(&pool, *slot, 0), "a fresh page is not zero");
		fill_map(&pool, *slot, w->byte);
	} else {
		check(w, err == -ENOSPC, "truncate up");
	}
	fsdax_close(file);
	random_name(w, name);
	check(w, fsdax_rename(pool.fs, mine, name) == 0, "rename");
}

static void disturb(struct worker *w)
{
	char name[16];
	struct fsdax_file *file;
	struct fsdax_statfs st;
	random_name(w, name);
	switch (rnd(&w->seed, 4)) {
	case 0:
		(void)fsdax_unlink(pool.fs, name);
		break;
	case 1:
		if (fsdax_open(pool.fs, name, 0, &file) != 0)
			break;
		(void)fsdax_truncate_how(file, rnd(&w->seed, 600) * PAGE, (enum fsdax_mode)rnd(&w->seed, 3), 0);
		fsdax_close(file);
		break;
	case 2:
		if (fsdax_open(pool.fs, name, 0, &file) != 0)
			break;
		(void)fsdax_punch(file, rnd(&w->seed, 600) * PAGE, (1 + rnd(&w->seed, 99)) * PAGE,
				  (enum fsdax_mode)rnd(&w->seed, 3), pgmap_deadline_in(rnd(&w->seed, 2)));
		fsdax_close(file);
		break;
	default:
		fsdax_statfs(pool.fs, &st);
		check(w, st.used + st.free + st.waiting == st.pages, "the accounts");
		check(w, st.clean + st.dirty <= st.free && st.clean + st.dirty + st.absent == st.free, "of free pages");
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	for (int i = 0; i < STORM_ROUNDS && !w->wrong; i++) {
		struct fsdax_map **slot = &w->slot[rnd(&w->seed, SLOTS)];
		if (*slot)
			let_go(w, slot);
		else
			make_one(w, slot);
		disturb(w);
	}
	for (int i = 0; i < SLOTS; i++) {
		if (w->slot[i])
			let_go(w, &w->slot[i]);
	}
	return NULL;
}

static void threads_never_see_each_others_pages(uint64_t keep_bytes, unsigned cpu_percent)
{
	static struct worker workers[THREADS];
	memset(workers, 0, sizeof(workers));
	open_layout(&pool);
	assert_int_equal(fsdax_set_wiping(pool.fs, keep_bytes, cpu_percent), 0);
	assert_int_equal(fsdax_mkdir(pool.fs, "d0"), 0);
	assert_int_equal(fsdax_mkdir(pool.fs, "d1"), 0);
	for (int i = 0; i < THREADS; i++) {
		workers[i].byte = (char)('A' + i);
		workers[i].seed = 77 + (uint64_t)i;
		who_create(&pool, "worker", &workers[i].holder);
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		if (workers[i].wrong)
			fail_msg("thread %d: %s", i, workers[i].wrong);
		who_end(&workers[i].holder);
	}
	assert_int_equal(pool_statfs(&pool).waiting, 0);
	assert_int_equal(pool_live_pages(&pool), 0);
	close_layout(&pool);
}

static void c6_8_c6_9_threads_never_see_each_others_pages(void **state)
{
	(void)state;
	threads_never_see_each_others_pages(0, 0);
}

static void c6_9_nor_those_that_the_wiper_has_wiped(void **state)
{
	(void)state;
	threads_never_see_each_others_pages((uint64_t)POOL_PAGES * PAGE, 100);
}

static void c6_8_c6_9_so_it_is_on_a_linear_stack(void **state)
{
	(void)state;
	layout = LINEAR;
	random_calls_agree_with_a_model((uint64_t)POOL_PAGES * PAGE / 2, 0);
	threads_never_see_each_others_pages((uint64_t)POOL_PAGES * PAGE, 100);
	layout = ONE;
}

static void c6_8_c6_9_so_it_is_on_a_stripe(void **state)
{
	(void)state;
	layout = STRIPE;
	random_calls_agree_with_a_model((uint64_t)POOL_PAGES * PAGE, 100);
	threads_never_see_each_others_pages(0, 0);
	layout = ONE;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c6_8_c6_9_random_calls_agree_with_a_model),
		cmocka_unit_test(c6_9_so_they_do_where_pages_are_wiped_late),
		cmocka_unit_test(c6_9_so_they_do_where_pages_are_wiped_ahead),
		cmocka_unit_test(c6_8_c6_9_threads_never_see_each_others_pages),
		cmocka_unit_test(c6_9_nor_those_that_the_wiper_has_wiped),
		cmocka_unit_test(c6_8_c6_9_so_it_is_on_a_linear_stack),
		cmocka_unit_test(c6_8_c6_9_so_it_is_on_a_stripe),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
