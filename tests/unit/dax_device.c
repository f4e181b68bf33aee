/* SPDX-License-Identifier: BSD-3-Clause */
/* A DAX device: translation in the order of its clause, one holder, death that waits for what runs. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pgmap/dax.h>
#include <pgmap/folio.h>

enum { PAGE = 4096, PAGES = 4096 };

static struct {
	int inside, go; /* populate: the first call waits until `go` */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t offset, len;
	int discards;
} device = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int populate(void *ctx, uint64_t offset, uint64_t len)
{
	(void)ctx;
	(void)pthread_mutex_lock(&device.lock);
	device.offset = offset;
	device.len = len;
	device.inside = 1;
	(void)pthread_cond_broadcast(&device.changed);
	while (!device.go)
		(void)pthread_cond_wait(&device.changed, &device.lock);
	device.inside = 0;
	(void)pthread_mutex_unlock(&device.lock);
	return 0;
}

static int discard(void *ctx, uint64_t offset, uint64_t len)
{
	(void)ctx;
	device.offset = offset;
	device.len = len;
	device.discards++;
	return 0;
}

static const struct dax_device_ops ops = {.ops_bytes = sizeof(ops), .populate = populate, .discard = discard};

static struct dax_params params_of(enum pgmap_type type)
{
	return (struct dax_params){
		.params_bytes = sizeof(struct dax_params),
		.type = type,
		.start_bytes = 3 * PAGE,
		.len_bytes = (uint64_t)PAGES * PAGE,
		.addr = (void *)(uintptr_t)0x10000000,
		.fd = 77,
		.ops = &ops,
		.name = "a name that is longer than what is kept of it",
	};
}

static struct dax_device *create(enum pgmap_type type)
{
	struct dax_device *dax = NULL;
	struct dax_params params = params_of(type);
	assert_int_equal(dax_create(&params, &dax), 0);
	return dax;
}

static void assert_invalid(struct dax_params params)
{
	struct dax_device *dax = NULL;
	assert_int_equal(dax_create(&params, &dax), -EINVAL);
	assert_null(dax);
}

static void bad_parameters_are_refused(void **state)
{
	(void)state;
	static const struct dax_device_ops short_ops = {.ops_bytes = 1, .discard = discard};
	static const struct dax_device_ops no_discard = {.ops_bytes = sizeof(ops), .populate = populate};
	struct dax_params good = params_of(PGMAP_FSDAX), bad;
	struct dax_device *dax = NULL;
	assert_int_equal(dax_create(NULL, &dax), -EINVAL);
	assert_int_equal(dax_create(&good, NULL), -EINVAL);
#define BAD(field, value)                                                                                              \
	bad = good;                                                                                                    \
	bad.field = value;                                                                                             \
	assert_invalid(bad)
	BAD(params_bytes, 8);
	BAD(type, (enum pgmap_type)9);
	BAD(len_bytes, 0);
	BAD(len_bytes, PAGE + 1);
	BAD(start_bytes, 1);
	BAD(start_bytes, UINT64_MAX - PAGE + 1);
	BAD(granule_order, 9); /* start is not a multiple of 2 MiB */
	BAD(granule_order, 19);
	BAD(ops, &short_ops);
	BAD(ops, &no_discard);
	static const uint64_t less[] = {PAGE, PAGE}, odd[] = {(uint64_t)PAGES * PAGE - 1, 1},
			      none[] = {(uint64_t)PAGES * PAGE, 0};
	static const uint64_t huge[] = {UINT64_MAX - PAGE + 1, (uint64_t)(PAGES + 1) * PAGE};
	good.npieces = 2;
	BAD(pieces_bytes, less);
	BAD(pieces_bytes, odd);
	BAD(pieces_bytes, none);
	BAD(pieces_bytes, huge);
	good.npieces = 0;
	BAD(pieces_bytes, less);
	assert_int_equal(dax_destroy(NULL), 0);
}

static void c6_1_direct_access_answers_in_order(void **state)
{
	(void)state;
	struct dax_device *dax = create(PGMAP_FSDAX);
	struct dax_span span;
	uint64_t pgoff;
	assert_int_equal(dax_direct_access(NULL, 0, 1, &span), -EINVAL);
	assert_int_equal(dax_direct_access(dax, 0, 1, NULL), -EINVAL);
	assert_int_equal(dax_direct_access(dax, PAGES, 0, &span), -EINVAL); /* before -ERANGE */
	assert_int_equal(dax_direct_access(dax, 0, -1, &span), -EINVAL);
	assert_int_equal(dax_direct_access(dax, PAGES, 1, &span), -ERANGE);
	assert_int_equal(dax_direct_access(dax, UINT64_MAX, 1, &span), -ERANGE);
	assert_int_equal(dax_direct_access(dax, 10, 5, &span), 5);
	assert_ptr_equal(span.pgmap, dax_pgmap(dax));
	assert_int_equal(pgmap_device_to_pgoff(span.pgmap, 13 * PAGE, &pgoff), 0);
	assert_int_equal(span.pgmap_pgoff, pgoff);
	assert_int_equal(span.npages, 5);
	assert_true((uintptr_t)span.addr == 0x10000000 + 13 * PAGE);
	assert_true(span.fd == 77 && span.fd_offset_bytes == 13 * PAGE && !span.resident);
	assert_int_equal(dax_direct_access(dax, PAGES - 2, INT64_MAX, &span), 2);
	assert_int_equal(pgmap_live_pages(dax_pgmap(dax)), 0); /* no reference taken */
	assert_int_equal(dax_kill(dax), 0);
	assert_int_equal(dax_direct_access(dax, PAGES, 1, &span), -ERANGE); /* before -ENXIO */
	assert_int_equal(dax_direct_access(dax, 0, 1, &span), -ENXIO);
	assert_int_equal(dax_destroy(dax), 0);
	struct dax_params params = params_of(PGMAP_FSDAX);
	params.resident = 1;
	assert_int_equal(dax_create(&params, &dax), 0);
	assert_int_equal(dax_direct_access(dax, 0, 1, &span), 1);
	assert_int_equal(span.resident, 1);
	assert_int_equal(dax_destroy(dax), 0);
}

static void c5_6_a_limited_device_has_no_pgmap(void **state)
{
	(void)state;
	struct dax_device *dax = create((enum pgmap_type)0);
	struct dax_span span;
	assert_null(dax_pgmap(dax));
	assert_int_equal(dax_direct_access(dax, 1, 1, &span), 1);
	assert_null(span.pgmap);
	assert_non_null(span.addr);
	assert_int_equal(dax_destroy(dax), 0);
}

struct holder {
	int failures, frees;
	uint64_t pgoff, npages;
};

static void failed(void *arg, enum dax_failure what, uint64_t pgoff, uint64_t npages)
{
	struct holder *h = arg;
	assert_int_equal(what, DAX_FAILURE_DEAD);
	h->failures++;
	h->pgoff = pgoff;
	h->npages = npages;
}

static int freed(void *arg, uint64_t pgoff, uint64_t npages)
{
	struct holder *h = arg;
	h->frees++;
	h->pgoff = pgoff;
	h->npages = npages;
	return PGMAP_FREE_IDLE;
}

static const struct dax_holder_ops holder_ops = {sizeof(holder_ops), failed, freed};
static const struct dax_holder_ops silent_ops = {sizeof(silent_ops), NULL, NULL};

static void touch(struct dax_device *dax, uint64_t page, unsigned order)
{
	struct dax_span span;
	struct folio *folio;
	assert_true(dax_direct_access(dax, page, 1, &span) == 1);
	assert_int_equal(pgmap_request_folio(span.pgmap, span.pgmap_pgoff, order, &folio), 0);
	folio_put(folio);
}

static void c6_2_one_holder(void **state)
{
	(void)state;
	struct dax_device *dax = create(PGMAP_FSDAX);
	struct holder h = {0}, other = {0};
	static const struct dax_holder_ops short_ops = {1, NULL, NULL};
	assert_int_equal(dax_hold(dax, NULL, &holder_ops), -EINVAL);
	assert_int_equal(dax_hold(dax, &h, NULL), -EINVAL);
	assert_int_equal(dax_hold(dax, &h, &short_ops), -EINVAL);
	assert_int_equal(dax_hold(NULL, &h, &holder_ops), -EINVAL);
	assert_int_equal(dax_release(dax, &h), -EINVAL);
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	assert_int_equal(dax_hold(dax, &other, &holder_ops), -EBUSY);
	assert_int_equal(dax_hold(dax, &h, &holder_ops), -EBUSY);
	assert_int_equal(dax_release(dax, &other), -EINVAL);
	assert_int_equal(dax_destroy(dax), -EBUSY);
	touch(dax, 5, 3); /* page 5 is page 8 of the device's bytes: aligned */
	assert_true(h.frees == 1 && h.pgoff == 5 && h.npages == 8);
	assert_int_equal(dax_release(dax, &h), 0);
	touch(dax, 5, 3); /* nobody to tell: the pages are just idle */
	assert_int_equal(h.frees, 1);
	assert_int_equal(dax_hold(dax, &other, &silent_ops), 0);
	touch(dax, 5, 3);
	assert_int_equal(pgmap_live_pages(dax_pgmap(dax)), 0);
	assert_int_equal(dax_kill(dax), 0);
	assert_int_equal(dax_release(dax, &other), 0);
	assert_int_equal(dax_destroy(dax), 0);
}

static void c2_10_destroy_under_a_folio_changes_nothing(void **state)
{
	(void)state;
	struct dax_device *dax = create(PGMAP_GENERIC);
	struct folio *folio;
	assert_int_equal(pgmap_request_folio(dax_pgmap(dax), 16, 0, &folio), 0);
	assert_int_equal(dax_destroy(dax), -EBUSY);
	assert_int_equal(pgmap_state(dax_pgmap(dax)), PGMAP_LIVE);
	assert_true(dax_alive(dax));
	assert_int_equal(pgmap_kill(dax_pgmap(dax)), 0);
	assert_int_equal(dax_destroy(dax), -EBUSY);
	assert_int_equal(pgmap_state(dax_pgmap(dax)), PGMAP_DYING);
	folio_put(folio);
	assert_int_equal(dax_destroy(dax), 0);
}

static void *run_populate(void *dax)
{
	return (void *)(intptr_t)dax_populate(dax, 2, 4);
}

static void *run_kill(void *dax)
{
	assert_int_equal(dax_kill(dax), 0);
	assert_int_equal(device.inside, 0); /* what ran has ended */
	return NULL;
}

static void c6_3_kill_tells_the_holder_once_and_waits_for_what_runs(void **state)
{
	(void)state;
	struct dax_device *dax = create(PGMAP_FSDAX);
	struct holder h = {0};
	pthread_t populating, killing;
	void *answer;
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	device.go = 0;
	assert_int_equal(pthread_create(&populating, NULL, run_populate, dax), 0);
	(void)pthread_mutex_lock(&device.lock);
	while (!device.inside)
		(void)pthread_cond_wait(&device.changed, &device.lock);
	(void)pthread_mutex_unlock(&device.lock);
	assert_int_equal(pthread_create(&killing, NULL, run_kill, dax), 0);
	while (dax_alive(dax)) /* until the killer is on its way: new ones are refused while the old one runs */
		(void)sched_yield();
	assert_int_equal(dax_populate(dax, 0, 1), -ENXIO);
	(void)pthread_mutex_lock(&device.lock);
	assert_int_equal(device.inside, 1);
	device.go = 1;
	(void)pthread_cond_broadcast(&device.changed);
	(void)pthread_mutex_unlock(&device.lock);
	assert_int_equal(pthread_join(killing, NULL), 0);
	assert_int_equal(pthread_join(populating, &answer), 0);
	assert_int_equal((intptr_t)answer, 0);
	assert_true(h.failures == 1 && h.pgoff == 0 && h.npages == PAGES);
	assert_int_equal(dax_kill(dax), 0);
	assert_int_equal(h.failures, 1);
	assert_false(dax_alive(dax));
	assert_int_equal(dax_release(dax, &h), 0);
	assert_int_equal(dax_hold(dax, &h, &holder_ops), -ENXIO);
	assert_int_equal(dax_destroy(dax), 0);
	assert_int_equal(dax_kill(NULL), -EINVAL);
}

static void memory_comes_and_goes_by_the_devices_ops(void **state)
{
	(void)state;
	struct dax_device *dax = create(PGMAP_FSDAX);
	device.go = 1;
	assert_int_equal(dax_populate(dax, 2, 4), 0);
	assert_true(device.offset == 5 * PAGE && device.len == 4 * PAGE);
	assert_int_equal(dax_populate(dax, 0, 0), -EINVAL);
	assert_int_equal(dax_populate(dax, PAGES, 1), -ERANGE);
	assert_int_equal(dax_discard(dax, PAGES - 1, 2), -ERANGE);
	assert_int_equal(dax_discard(dax, 1, UINT64_MAX), -ERANGE);
	assert_int_equal(dax_kill(dax), 0);
	assert_int_equal(dax_populate(dax, 0, 1), -ENXIO);
	device.discards = 0;
	assert_int_equal(dax_discard(dax, 1, 2), 0); /* a dying device takes pages back */
	assert_true(device.discards == 1 && device.offset == 4 * PAGE && device.len == 2 * PAGE);
	assert_int_equal(dax_destroy(dax), 0);
	struct dax_params params = params_of(PGMAP_FSDAX);
	params.ops = NULL;
	assert_int_equal(dax_create(&params, &dax), 0);
	assert_int_equal(dax_populate(dax, 0, 1), -EOPNOTSUPP);
	assert_int_equal(dax_discard(dax, 0, 1), -EOPNOTSUPP);
	assert_int_equal(dax_npages(dax), PAGES);
	assert_int_equal(dax_granule_order(dax), 0);
	assert_string_equal(dax_name(dax), "a name that is longer than what");
	assert_int_equal(dax_destroy(dax), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_parameters_are_refused),
		cmocka_unit_test(c6_1_direct_access_answers_in_order),
		cmocka_unit_test(c5_6_a_limited_device_has_no_pgmap),
		cmocka_unit_test(c6_2_one_holder),
		cmocka_unit_test(c2_10_destroy_under_a_folio_changes_nothing),
		cmocka_unit_test(c6_3_kill_tells_the_holder_once_and_waits_for_what_runs),
		cmocka_unit_test(memory_comes_and_goes_by_the_devices_ops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
