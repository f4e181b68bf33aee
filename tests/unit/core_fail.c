/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whatever the core asks the system for fails once, or from then on, at the nth time, for every n that there is: the call
 * says -ENOMEM and has changed nothing, what needs no memory goes on working, and at the end nothing is left.
 *
 * One scenario that goes through every call which asks for anything, in a child of its own for each n, so that each begins
 * with nothing. meson.build links this program so that allocation, mapping, futexes, barriers and thread keys are these.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include <linux/futex.h>

#include "core_util.h"

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void __real_free(void *at);
void *__real_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t bytes);
int __real_mprotect(void *at, size_t bytes, int prot);
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
int __real_pthread_key_create(pthread_key_t *key, void (*destroy)(void *));
int __real_pthread_setspecific(pthread_key_t key, const void *value);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
void __wrap_free(void *at);
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t bytes);
int __wrap_mprotect(void *at, size_t bytes, int prot);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
int __wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *));
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);

struct plan {
	long nth;
	bool and_on;        /* all that come after it fail too */
	bool no_overcommit; /* a large writable reservation is refused, as where the system forbids overcommit */
};

enum { REACHED = 3 };
enum { NWORDS = 3 * 512 };

static struct plan plan;
static atomic_long left; /* how many more succeed; below 0: it is past */
static atomic_bool armed, did;
static atomic_long blocks, mapped_bytes; /* outstanding: of the library's, and this program's while it is armed */
static atomic_long futex_waits;

static bool fails(void)
{
	if (!atomic_load(&armed))
		return false;
	long before = atomic_fetch_sub(&left, 1);
	if (before != 1 && !(before < 1 && plan.and_on))
		return false;
	atomic_store(&did, true);
	return true;
}

static void *counted(void *at)
{
	if (at)
		atomic_fetch_add(&blocks, 1);
	return at;
}

static void *no_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

void *__wrap_malloc(size_t bytes)
{
	return fails() ? no_memory() : counted(__real_malloc(bytes));
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	return fails() ? no_memory() : counted(__real_calloc(n, bytes));
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
	return fails() ? no_memory() : counted(__real_aligned_alloc(align, bytes));
}

void __wrap_free(void *at)
{
	if (at)
		atomic_fetch_sub(&blocks, 1);
	__real_free(at);
}

void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	if (fails() || (plan.no_overcommit && (prot & PROT_WRITE) && (flags & MAP_NORESERVE))) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	void *got = __real_mmap64(at, bytes, prot, flags, fd, offset);
	if (got != MAP_FAILED)
		atomic_fetch_add(&mapped_bytes, (long)bytes);
	return got;
}

int __wrap_munmap(void *at, size_t bytes)
{
	int r = __real_munmap(at, bytes);
	if (r == 0)
		atomic_fetch_sub(&mapped_bytes, (long)bytes);
	return r;
}

int __wrap_mprotect(void *at, size_t bytes, int prot)
{
	if (!fails())
		return __real_mprotect(at, bytes, prot);
	errno = ENOMEM;
	return -1;
}

/* A wait may end for no reason, a barrier want memory; a wake-up does not fail. */
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (number == SYS_futex && (b & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET) {
		atomic_fetch_add(&futex_waits, 1);
		if (fails()) {
			errno = EINTR;
			return -1;
		}
	} else if (number == SYS_membarrier && c == 0 && a != 1 /* MEMBARRIER_CMD_GLOBAL */ && fails()) {
		errno = ENOMEM;
		return -1;
	}
	return __real_syscall(number, a, b, c, d, e, f);
}

int __wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
	return fails() ? EAGAIN : __real_pthread_key_create(key, destroy);
}

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
	return fails() ? ENOMEM : __real_pthread_setspecific(key, value);
}

/* What a call that fails must leave as it was. */
struct scene {
	struct pgmap *pgmap;
	struct pgmap_holder *a, *b;
	struct folio *page, *small, *big, *spare, *span[8];
	size_t nspan;
};

static int hash_held(const struct pgmap_held *held, void *arg)
{
	uint64_t *hash = arg, all[] = {held->pgoff,
				       held->order,
				       held->state,
				       held->refs,
				       held->pins,
				       held->anon,
				       held->charge.refs,
				       held->charge.pins_local,
				       held->charge.pins_remote};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		*hash = (*hash ^ all[i]) * UINT64_C(1099511628211);
	for (const char *c = held->holder ? held->holder : ""; *c; c++)
		*hash = (*hash ^ (uint64_t)*c) * UINT64_C(1099511628211);
	return 0;
}

static int hash_poison(uint64_t pgoff, uint64_t npages, void *arg)
{
	uint64_t *hash = arg;
	*hash = (*hash ^ pgoff * 31 ^ npages) * UINT64_C(1099511628211);
	return 0;
}

static uint64_t hash_of(const struct scene *s)
{
	uint64_t hash = 1;
	if (!s->pgmap)
		return 0;
	hash ^= pgmap_live_pages(s->pgmap);
	CHILD_CHECK(pgmap_for_each_held(s->pgmap, hash_held, &hash) == 0);
	CHILD_CHECK(pgmap_for_each_poisoned(s->pgmap, hash_poison, &hash) == 0);
	hash ^= s->small ? folio_private(s->small) : 0;
	return hash;
}

static int create(struct scene *s)
{
	struct pgmap_range ranges[] = {{0, 3 * PUD_PAGES * PGMAP_PAGE_SIZE},
				       {UINT64_C(1) << 45, 4096 * PGMAP_PAGE_SIZE}};
	struct pgmap_params params = {
		.params_bytes = sizeof(params), .type = PGMAP_GENERIC, .ranges = ranges, .nranges = 2, .name = "short"};
	return pgmap_create(&params, &s->pgmap);
}

static int request_page(struct scene *s)
{
	return pgmap_request_folio(s->pgmap, 7, 0, &s->page);
}

static int request_small(struct scene *s)
{
	return pgmap_request_folio(s->pgmap, 64, 5, &s->small);
}

static int request_big(struct scene *s)
{
	return pgmap_request_folio(s->pgmap, PUD_PAGES, 18, &s->big);
}

static int request_span(struct scene *s)
{
	return pgmap_request_folios(s->pgmap, 2 * PUD_PAGES + 3, 13, s->span, &s->nspan);
}

static int make_a(struct scene *s)
{
	return pgmap_holder_create(s->pgmap, "a", &s->a);
}

static int make_b(struct scene *s)
{
	return pgmap_holder_create(s->pgmap, "b", &s->b);
}

static int charge_page(struct scene *s)
{
	return folio_charge(s->page, s->a);
}

static int get_page(struct scene *s)
{
	return folio_get_holder(s->page, s->b);
}

static int pin_big(struct scene *s)
{
	return folio_pin(s->big, s->b, FOLIO_PIN_REMOTE);
}

static int set_private(struct scene *s)
{
	return folio_set_private(s->small, 4711);
}

static int split_small(struct scene *s)
{
	return folio_split(s->small, 3);
}

/* To another level, with charges: each part gets each holder's. */
static int split_span(struct scene *s)
{
	return folio_split(s->spare, 0);
}

static int request_spare(struct scene *s)
{
	return pgmap_request_folio(s->pgmap, 1024, 9, &s->spare);
}

static int charge_spare(struct scene *s)
{
	return folio_charge(s->spare, s->a);
}

static int get_spare(struct scene *s)
{
	return folio_get_holder(s->spare, s->b);
}

static int poison(struct scene *s)
{
	return pgmap_poison(s->pgmap, 3000, 100);
}

static int clear_middle(struct scene *s)
{
	return pgmap_clear_poison(s->pgmap, 3040, 10);
}

/* Until it succeeds; where everything fails from now on: false, and nothing has changed. */
static bool attempt(struct scene *s, int (*call)(struct scene *s))
{
	uint64_t before = hash_of(s);
	int r = call(s);
	if (r == 0)
		return true;
	CHILD_CHECK(r == -ENOMEM);
	CHILD_CHECK(atomic_load(&did));
	CHILD_CHECK(hash_of(s) == before);
	if (plan.and_on)
		return false;
	CHILD_CHECK(call(s) == 0);
	return true;
}

static int put_anonymous(const struct pgmap_held *held, void *arg)
{
	if (!held->anon)
		return 0;
	*(uint64_t *)arg = held->pgoff;
	return 1;
}

static void *drop_when_awaited(void *arg)
{
	struct scene *s = arg;
	while (atomic_load(&futex_waits) < 1)
		sched_yield();
	struct folio *last;
	CHILD_CHECK(pgmap_find_folio(s->pgmap, 4095, &last) == 0);
	folio_put(last);
	return NULL;
}

/* What needs no memory: ends, fences, puts, kill, drain, destroy. */
static void end_all(struct scene *s)
{
	uint64_t at = 0;
	if (s->a)
		CHILD_CHECK(pgmap_holder_end(s->a) == 0);
	if (s->b && pgmap_holder_end(s->b) > 0)
		CHILD_CHECK(pgmap_holder_fence(s->b) == 0);
	while (pgmap_for_each_held(s->pgmap, put_anonymous, &at)) {
		struct folio *folio;
		CHILD_CHECK(pgmap_find_folio(s->pgmap, at, &folio) == 0);
		folio_put(folio);
	}
	CHILD_CHECK(pgmap_live_pages(s->pgmap) == 0);
}

static void kill_and_destroy(struct scene *s, bool wait)
{
	pthread_t thread;
	CHILD_CHECK(pgmap_kill(s->pgmap) == 0);
	if (wait)
		CHILD_CHECK(pthread_create(&thread, NULL, drop_when_awaited, s) == 0);
	CHILD_CHECK(pgmap_drain(s->pgmap, wait ? PGMAP_NO_DEADLINE : 0) == 0);
	if (wait)
		CHILD_CHECK(pthread_join(thread, NULL) == 0);
	CHILD_CHECK(pgmap_destroy(s->pgmap) == 0);
}

static void scenario(void *arg)
{
	static int (*const calls[])(struct scene * s) = {
		request_page, request_small, request_big, request_span, make_a,       make_b,
		charge_page,  get_page,      pin_big,     set_private,  split_small,  request_spare,
		charge_spare, get_spare,     split_span,  poison,       clear_middle,
	};
	struct scene s = {0};
	plan = *(const struct plan *)arg;
	atomic_store(&left, plan.nth);
	long before_blocks = atomic_load(&blocks), before_bytes = atomic_load(&mapped_bytes);
	atomic_store(&armed, true);
	bool ok = attempt(&s, create);
	for (size_t i = 0; ok && i < sizeof(calls) / sizeof(calls[0]); i++)
		ok = attempt(&s, calls[i]);
	if (s.pgmap) {
		struct folio *last;
		end_all(&s);
		bool wait = !plan.and_on && pgmap_request_folio(s.pgmap, 4095, 0, &last) == 0;
		kill_and_destroy(&s, wait);
	}
	atomic_store(&armed, false);
	/* The struct pgmap itself stays, for the next one (map.h). */
	CHILD_CHECK(atomic_load(&blocks) - before_blocks <= 1);
	CHILD_CHECK(atomic_load(&mapped_bytes) == before_bytes);
	plan = (struct plan){0};
	CHILD_CHECK(create(&s) == 0 && request_page(&s) == 0);
	folio_put(s.page);
	kill_and_destroy(&s, false);
	CHILD_EXIT(atomic_load(&did) ? REACHED : 0);
}

/* For each n until the scenario ends before the nth: how many there were. */
static long fail_each(struct plan each)
{
	char said[2048];
	for (each.nth = 1;; each.nth++) {
		int status = in_child(scenario, &each, said, sizeof(said));
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			return each.nth - 1;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != REACHED)
			fail_msg("the %ldth failure: wait status %#x: %s", each.nth, (unsigned)status, said);
	}
}

static void c3_7_c3_11_a_failure_of_anything_changes_nothing(void **state)
{
	(void)state;
	assert_in_range(fail_each((struct plan){0}), 12, 200);
}

static void c3_7_c2_6_what_needs_no_memory_works_when_there_is_none(void **state)
{
	(void)state;
	assert_in_range(fail_each((struct plan){.and_on = true}), 12, 200);
}

static void c3_7_the_same_where_the_system_forbids_overcommit(void **state)
{
	(void)state;
	long with = fail_each((struct plan){.no_overcommit = true});
	assert_in_range(with, fail_each((struct plan){0}) + 1, 200); /* it has to ask more often */
	assert_in_range(fail_each((struct plan){.no_overcommit = true, .and_on = true}), 12, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c3_7_c3_11_a_failure_of_anything_changes_nothing),
		cmocka_unit_test(c3_7_c2_6_what_needs_no_memory_works_when_there_is_none),
		cmocka_unit_test(c3_7_the_same_where_the_system_forbids_overcommit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
