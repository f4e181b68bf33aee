/* SPDX-License-Identifier: BSD-3-Clause */
/* A linear stack that gets parts and loses them: where its pages are then, its holder, what is refused. */
#include "linear_util.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* a[16..32) and b, and c[8..] to come. */
static struct dax_device *two(void)
{
	const struct dax_part parts[] = {{a.dax, 16, 16}, {b.dax, 0, 0}};
	return linear(parts, 2);
}

static void an_added_part_lies_behind_the_last(void **state)
{
	(void)state;
	struct dax_device *dax = linear(&(struct dax_part){a.dax, 16, 16}, 1);
	struct dax_span span;
	assert_int_equal(dax_linear_add(dax, &(struct dax_part){b.dax, 0, 0}), 0);
	assert_int_equal(dax_linear_add(dax, &(struct dax_part){c.dax, 8, 40}), 0);
	assert_int_equal(dax_npages(dax), 16 + 32 + 40);
	assert_lies(dax, 0, 200, &a, 16, 16);
	assert_lies(dax, 16, INT64_MAX, &b, 0, 32);
	assert_lies(dax, 47, 3, &b, 31, 1);
	assert_lies(dax, 48, 90, &c, 8, 40);
	assert_int_equal(dax_direct_access(dax, 88, 1, &span), -ERANGE);
	assert_int_equal(dax_destroy(b.dax), -EBUSY); /* part of a stack */
	assert_int_equal(dax_populate(dax, 40, 10), 0);
	assert_true(b.populates == 1 && b.len == 8 * PAGE && c.populates == 1 && c.len == 2 * PAGE);
	assert_int_equal(dax_destroy(dax), 0);
}

/* The table of shares is another one for each of many sizes. */
static void c6_4_every_part_of_a_stack_that_grew_is_found(void **state)
{
	(void)state;
	enum { N = 40 };
	struct bottom bottoms[N];
	uint64_t firsts[N], first = 0;
	struct dax_device *dax = NULL;
	for (int i = 0; i < N; i++) {
		firsts[i] = first;
		bottom_open(&bottoms[i], 1 + (uint64_t)i * 7919 % 300, 0);
		const struct dax_part part = {bottoms[i].dax, 0, 0};
		if (i == 0)
			dax = linear(&part, 1);
		else
			assert_int_equal(dax_linear_add(dax, &part), 0);
		first += bottoms[i].pages;
		for (int j = 0; j <= i; j++) {
			uint64_t last = bottoms[j].pages - 1;
			assert_lies(dax, firsts[j], 5000, &bottoms[j], 0, (int64_t)bottoms[j].pages);
			assert_lies(dax, firsts[j] + last, 5000, &bottoms[j], last, 1);
		}
	}
	assert_int_equal(dax_destroy(dax), 0);
	for (int i = 0; i < N; i++)
		bottom_close(&bottoms[i]);
}

static void what_cannot_be_added_is_refused_and_changes_nothing(void **state)
{
	(void)state;
	struct bottom big, odd;
	struct dax_device *dax = two(), *over, *stripe;
	struct holder h = {0}, other = {0};
	const struct dax_part third = {c.dax, 8, 0}, none = {NULL, 0, 0}, twice = {b.dax, 0, 0}, self = {dax, 0, 0};
	const struct dax_part beyond = {c.dax, 64, 0}, longer = {c.dax, 60, 5};
	bottom_open(&big, 64, 3);
	bottom_open(&odd, 12, 2);
	const struct dax_part big_part = {big.dax, 0, 0}, odd_part = {odd.dax, 2, 4}; /* no whole granules of it */
	assert_int_equal(dax_linear_add(NULL, &third), -EINVAL);
	assert_int_equal(dax_linear_add(dax, NULL), -EINVAL);
	assert_int_equal(dax_linear_add(dax, &none), -EINVAL);
	assert_int_equal(dax_linear_add(a.dax, &third), -EINVAL);
	assert_int_equal(dax_linear_add(dax, &twice), -EINVAL);
	assert_int_equal(dax_linear_add(dax, &self), -EINVAL);
	assert_int_equal(dax_linear_add(dax, &beyond), -ERANGE);
	assert_int_equal(dax_linear_add(dax, &longer), -ERANGE);
	assert_int_equal(dax_create_stripe(&third, 1, 8, NULL, &stripe), 0);
	assert_int_equal(dax_linear_add(stripe, &big_part), -EINVAL);
	assert_int_equal(dax_destroy(stripe), 0);
	over = linear(&self, 1);
	assert_int_equal(dax_linear_add(dax, &third), -EBUSY);
	assert_int_equal(dax_destroy(over), 0);
	assert_int_equal(dax_hold(c.dax, &other, &holder_ops), 0);
	assert_int_equal(dax_linear_add(dax, &third), -EBUSY);
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	assert_int_equal(dax_linear_add(dax, &third), -EBUSY);
	assert_int_equal(dax_release(dax, &h), 0);
	assert_int_equal(dax_release(c.dax, &other), 0);
	assert_int_equal(dax_npages(dax), 48);
	assert_int_equal(dax_linear_add(dax, &big_part), 0);
	assert_int_equal(dax_granule_order(dax), 3);
	assert_int_equal(dax_linear_add(dax, &odd_part), -EINVAL);
	assert_int_equal(dax_linear_remove(dax, big.dax), 0);
	assert_int_equal(dax_granule_order(dax), 3); /* it never shrinks */
	assert_int_equal(dax_kill(c.dax), 0);
	assert_int_equal(dax_linear_add(dax, &third), -ENXIO);
	assert_int_equal(dax_kill(dax), 0);
	assert_int_equal(dax_linear_add(dax, &odd_part), -ENXIO);
	assert_int_equal(dax_npages(dax), 48 + 64);
	assert_int_equal(dax_destroy(dax), 0);
	bottom_close(&big);
	bottom_close(&odd);
}

static void c6_2_a_part_that_is_added_has_the_stacks_holder(void **state)
{
	(void)state;
	struct dax_device *dax = two();
	struct holder h = {0}, other = {0};
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	assert_int_equal(dax_linear_add(dax, &(struct dax_part){c.dax, 8, 0}), 0);
	assert_int_equal(dax_hold(c.dax, &other, &holder_ops), -EBUSY);
	touch_page(dax, 50);
	assert_int_equal(h.freed[50], 1);
	assert_int_equal(dax_notify_failure(c.dax, DAX_FAILURE_POISON, 0, 12), 0);
	assert_true(only_pages(h.poisoned, 48, 4));
	assert_int_equal(dax_kill(c.dax), 0);
	assert_true(only_pages(h.dead, 48, 56));
	assert_int_equal(dax_release(dax, &h), 0);
	assert_int_equal(dax_hold(c.dax, &other, &holder_ops), -ENXIO);
	assert_int_equal(dax_destroy(dax), 0);
}

static void a_stack_is_dead_when_all_of_it_is(void **state)
{
	(void)state;
	const struct dax_part parts[] = {{a.dax, 0, 0}, {b.dax, 0, 0}};
	struct dax_device *lower = linear(parts, 2), *over, *held, *none = NULL;
	const struct dax_part whole = {lower, 0, 0}, living = {c.dax, 0, 8}, more = {c.dax, 8, 0};
	struct holder h = {0};
	assert_int_equal(dax_kill(a.dax), 0);
	assert_true(dax_alive(lower));
	over = linear(&whole, 1);
	assert_int_equal(dax_destroy(over), 0);
	over = linear(&living, 1);
	assert_int_equal(dax_linear_add(over, &whole), 0); /* nobody holds it */
	assert_lies(over, 8 + 64, 99, &b, 0, 32);
	assert_int_equal(dax_destroy(over), 0);
	held = linear(&living, 1);
	assert_int_equal(dax_hold(held, &h, &holder_ops), 0);
	assert_int_equal(dax_linear_add(held, &whole), -ENXIO); /* nobody would be told of what is dead */
	assert_int_equal(dax_npages(held), 8);
	assert_int_equal(dax_release(held, &h), 0);
	assert_int_equal(dax_destroy(held), 0);
	assert_int_equal(dax_kill(b.dax), 0);
	assert_false(dax_alive(lower));
	assert_int_equal(dax_create_linear(&whole, 1, NULL, &none), -ENXIO);
	assert_int_equal(dax_create_stripe(&whole, 1, 8, NULL, &none), -ENXIO);
	assert_int_equal(dax_create_fault(lower, NULL, &none), -ENXIO);
	assert_int_equal(dax_create_log(lower, 0, NULL, &none), -ENXIO);
	assert_int_equal(dax_linear_add(lower, &more), -ENXIO);
	assert_false(dax_alive(lower));
	assert_int_equal(dax_destroy(lower), 0);
}

static int count_run(uint64_t pgoff, uint64_t npages, void *arg)
{
	(void)pgoff;
	*(uint64_t *)arg += npages;
	return 0;
}

static void a_removed_part_leaves_a_gap(void **state)
{
	(void)state;
	struct dax_device *dax = three();
	struct holder h = {0}, other = {0};
	struct dax_span span;
	uint64_t bad = 0;
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 16, 1), 0);
	assert_int_equal(dax_linear_remove(dax, b.dax), 0);
	assert_int_equal(dax_linear_remove(dax, b.dax), -EINVAL);
	assert_int_equal(dax_npages(dax), 104);
	assert_lies(dax, 15, 2, &a, 31, 1);
	assert_lies(dax, 48, 9, &c, 8, 9);
	for (uint64_t page = 16; page < 48; page++)
		assert_int_equal(dax_direct_access(dax, page, 1, &span), -ENXIO);
	assert_int_equal(dax_populate(dax, 16, 1), -ENXIO);
	assert_int_equal(dax_discard(dax, 16, 1), -ENXIO);
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 16, 1), -ENXIO);
	assert_int_equal(dax_for_each_poisoned(dax, count_run, &bad), 0);
	assert_int_equal(bad, 0);
	int calls = h.calls;
	assert_int_equal(dax_hold(b.dax, &other, &holder_ops), 0); /* nobody else holds it */
	touch_page(b.dax, 4);
	assert_int_equal(dax_kill(b.dax), 0);
	assert_int_equal(h.calls, calls);
	assert_int_equal(h.freed[20], 0);
	assert_int_equal(dax_release(b.dax, &other), 0);
	assert_true(dax_alive(dax));
	assert_int_equal(dax_kill(a.dax), 0);
	assert_true(dax_alive(dax));
	assert_int_equal(dax_kill(c.dax), 0);
	assert_false(dax_alive(dax));
	assert_int_equal(dax_release(dax, &h), 0);
	assert_int_equal(dax_destroy(dax), 0);
}

static void c6_5_bad_news_passes_over_a_gap(void **state)
{
	(void)state;
	struct dax_device *dax = three();
	struct holder h = {0};
	assert_int_equal(dax_linear_remove(dax, b.dax), 0);
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 15, 34), -ENXIO);
	assert_true(count_pages(h.poisoned, 0, HOLDER_PAGES) == 2 && h.poisoned[15] == 1 && h.poisoned[48] == 1);
	assert_int_equal(dax_release(dax, &h), 0);
	assert_int_equal(dax_destroy(dax), 0);
}

static void what_has_lost_parts_can_be_held_but_not_built_on(void **state)
{
	(void)state;
	struct dax_device *dax = three(), *over = NULL;
	struct holder h = {0};
	assert_int_equal(dax_linear_remove(dax, a.dax), 0);
	assert_int_equal(dax_create_linear(&(struct dax_part){dax, 0, 0}, 1, NULL, &over), -EINVAL);
	assert_int_equal(dax_create_fault(dax, NULL, &over), -EINVAL);
	over = linear(&(struct dax_part){a.dax, 0, 0}, 1);
	assert_int_equal(dax_linear_add(over, &(struct dax_part){dax, 0, 0}), -EINVAL);
	assert_int_equal(dax_npages(over), 64);
	assert_int_equal(dax_destroy(over), 0);
	assert_int_equal(dax_hold(dax, &h, &holder_ops), 0);
	assert_int_equal(dax_linear_add(dax, &(struct dax_part){a.dax, 0, 16}), 0); /* again, elsewhere */
	assert_lies(dax, 104, 99, &a, 0, 16);
	assert_int_equal(dax_granule_order_at(dax, 3), 0);
	assert_int_equal(dax_release(dax, &h), 0);
	assert_int_equal(dax_destroy(dax), 0);
}

static void a_part_that_is_needed_stays(void **state)
{
	(void)state;
	struct dax_device *dax = two(), *over;
	struct folio *folio;
	assert_int_equal(dax_linear_remove(NULL, a.dax), -EINVAL);
	assert_int_equal(dax_linear_remove(dax, NULL), -EINVAL);
	assert_int_equal(dax_linear_remove(a.dax, a.dax), -EINVAL);
	assert_int_equal(dax_linear_remove(dax, c.dax), -EINVAL);
	over = linear(&(struct dax_part){dax, 0, 0}, 1);
	assert_int_equal(dax_linear_remove(dax, b.dax), -EBUSY);
	assert_int_equal(dax_destroy(over), 0);
	assert_int_equal(pgmap_request_folio(dax_pgmap(b.dax), 0, 0, &folio), 0);
	assert_int_equal(dax_linear_remove(dax, b.dax), -EBUSY);
	assert_lies(dax, 16, 99, &b, 0, 32);
	folio_put(folio);
	assert_int_equal(dax_linear_remove(dax, b.dax), 0);
	assert_int_equal(dax_linear_remove(dax, a.dax), -EBUSY); /* the only one */
	assert_int_equal(dax_linear_add(dax, &(struct dax_part){b.dax, 0, 0}), 0);
	assert_int_equal(dax_linear_remove(dax, a.dax), 0);
	assert_int_equal(dax_destroy(dax), 0);
}

/* c6.3 of a part that goes: accesses run through the stack while parts come, go, and end. */
static struct dax_device *changing;
static atomic_int stop;

/* One of them discards, and none reads what it does. */
static void *access_all(void *discards)
{
	while (!atomic_load(&stop)) {
		struct dax_span span;
		char byte = 1;
		uint64_t last = dax_npages(changing) - 1;
		int64_t n = dax_direct_access(changing, last, 1, &span);
		assert_true(n == 1 || n == -ENXIO);
		n = dax_copy_from(changing, (last - 1) * PAGE, &byte, 1);
		assert_true((n == 1 && byte == 0) || n == -ENXIO);
		int err = discards ? dax_discard(changing, last, 1) : 0;
		assert_true(err == 0 || err == -ENXIO);
		assert_int_equal(dax_direct_access(changing, 15, 9, &span),
				 1); /* the first part stays, and where it was */
		assert_ptr_equal(span.pgmap, dax_pgmap(a.dax));
		assert_true(dax_alive(changing));
	}
	return NULL;
}

static void c6_4_accesses_race_parts_that_come_and_go(void **state)
{
	(void)state;
	pthread_t threads[2];
	struct holder *h = calloc(1, sizeof(*h));
	assert_non_null(h);
	atomic_store(&stop, 0);
	changing = linear(&(struct dax_part){a.dax, 16, 16}, 1);
	assert_int_equal(dax_hold(changing, h, &holder_ops), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, access_all, i ? &stop : NULL), 0);
	for (int round = 0; round < 300; round++) {
		struct bottom bottom;
		bottom_open(&bottom, 3, 0);
		assert_int_equal(dax_linear_add(changing, &(struct dax_part){bottom.dax, 0, 0}), 0);
		(void)sched_yield();
		assert_int_equal(dax_linear_remove(changing, bottom.dax), 0);
		bottom_close(&bottom); /* who still had it would touch what is freed */
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(dax_release(changing, h), 0);
	assert_int_equal(dax_destroy(changing), 0);
	free(h);
}

static void parts_that_come_are_counted(void **state)
{
	(void)state;
	struct dax_device *dax = linear(&(struct dax_part){a.dax, 0, 0}, 1);
	for (int i = 0; i < 4096; i++) {
		assert_int_equal(dax_linear_add(dax, &(struct dax_part){b.dax, 0, 1}), 0);
		assert_int_equal(dax_linear_remove(dax, b.dax), 0);
	}
	assert_int_equal(dax_linear_add(dax, &(struct dax_part){b.dax, 0, 1}), -E2BIG);
	assert_int_equal(dax_npages(dax), 64 + 4096);
	assert_lies(dax, 63, 9, &a, 63, 1);
	assert_int_equal(dax_destroy(dax), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
	static const struct CMUnitTest tests[] = {
		TEST(an_added_part_lies_behind_the_last),
		TEST(c6_4_every_part_of_a_stack_that_grew_is_found),
		TEST(what_cannot_be_added_is_refused_and_changes_nothing),
		TEST(c6_2_a_part_that_is_added_has_the_stacks_holder),
		TEST(a_stack_is_dead_when_all_of_it_is),
		TEST(a_removed_part_leaves_a_gap),
		TEST(c6_5_bad_news_passes_over_a_gap),
		TEST(what_has_lost_parts_can_be_held_but_not_built_on),
		TEST(a_part_that_is_needed_stays),
		TEST(c6_4_accesses_race_parts_that_come_and_go),
		TEST(parts_that_come_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
