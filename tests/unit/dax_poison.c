/* SPDX-License-Identifier: BSD-3-Clause */
/* Pages that have lost their data: who finds out says so, and nobody is given them until they are written over. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "dax/device.h"
#include "stack_util.h"

#include <signal.h>
#include <sys/mman.h>

static struct bottom bottom;
static struct dax_device *dax; /* its pages 8 to 39, by way of two stacks */
static struct dax_device *lower;
static struct holder holder;

static int open_stack(void **state)
{
	(void)state;
	bottom_open_at(&bottom, 5, 64, 0);
	const struct dax_part part = {bottom.dax, 8, 32};
	assert_int_equal(dax_create_linear(&part, 1, "lower", &lower), 0);
	assert_int_equal(dax_create_linear(&(struct dax_part){lower, 0, 0}, 1, "upper", &dax), 0);
	memset(&holder, 0, sizeof(holder));
	assert_int_equal(dax_hold(dax, &holder, &holder_ops), 0);
	return 0;
}

static int close_stack(void **state)
{
	(void)state;
	assert_int_equal(dax_release(dax, &holder), 0);
	assert_int_equal(dax_destroy(dax), 0);
	assert_int_equal(dax_destroy(lower), 0);
	bottom_close(&bottom);
	return 0;
}

static int count_runs(uint64_t pgoff, uint64_t npages, void *arg)
{
	uint64_t *seen = arg;
	seen[0]++;
	seen[1] = pgoff;
	seen[2] = npages;
	return seen[0] == seen[3] ? 7 : 0;
}

static void bad_arguments_are_refused(void **state)
{
	(void)state;
	uint64_t seen[4] = {0};
	assert_int_equal(dax_notify_failure(NULL, DAX_FAILURE_POISON, 0, 1), -EINVAL);
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 0, 0), -EINVAL);
	assert_int_equal(dax_notify_failure(dax, (enum dax_failure)3, 0, 1), -EINVAL);
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 32, 1), -ERANGE);
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 31, 2), -ERANGE);
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_DEAD, 0, 31), -EOPNOTSUPP);
	assert_int_equal(dax_for_each_poisoned(NULL, count_runs, seen), -EINVAL);
	assert_int_equal(dax_for_each_poisoned(dax, NULL, seen), -EINVAL);
	assert_true(holder.calls == 0 && dax_alive(dax));
	assert_int_equal(dax_for_each_poisoned(dax, count_runs, seen), 0);
	assert_int_equal(seen[0], 0);
}

static void c6_5_the_holder_is_told_and_the_pages_are_not_handed_out(void **state)
{
	(void)state;
	struct dax_span span;
	struct folio *folio, *before;
	assert_int_equal(dax_direct_access(dax, 11, 1, &span), 1);
	assert_int_equal(pgmap_request_folio(span.pgmap, span.pgmap_pgoff, 0, &before), 0);
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 10, 3), 0);
	assert_true(holder.calls == 1 && only_pages(holder.poisoned, 10, 3));
	assert_int_equal(count_pages(holder.dead, 0, HOLDER_PAGES), 0);
	assert_int_equal(dax_direct_access(dax, 8, 10, &span), 2); /* it ends before them */
	assert_int_equal(span.npages, 2);
	for (uint64_t i = 10; i < 13; i++) {
		assert_int_equal(dax_direct_access(dax, i, 1, &span), -EHWPOISON);
		assert_int_equal(pgmap_request_folio(dax_pgmap(bottom.dax), 5 + 8 + i, 0, &folio), -EHWPOISON);
	}
	assert_int_equal(span.npages, 2); /* what fails says nothing */
	assert_int_equal(dax_direct_access(dax, 13, 19, &span), 19);
	folio_put(before); /* what was held stays held, and goes as it would */
	assert_int_equal(holder.freed[11], 1);
	size_t n;
	struct folio *folios[8] = {NULL};
	assert_int_equal(dax_request_folios(dax, 9, 3, folios, 8, &n), -EHWPOISON);
	assert_null(folios[0]); /* it was had, and put */
	assert_int_equal(pgmap_live_pages(dax_pgmap(bottom.dax)), 0);
}

static void c6_5_it_is_listed_wherever_it_was_found_out(void **state)
{
	(void)state;
	uint64_t seen[4] = {0};
	assert_int_equal(dax_notify_failure(bottom.dax, DAX_FAILURE_POISON, 6, 4),
			 0); /* 8 and 9 are the stack's 0 and 1 */
	assert_true(only_pages(holder.poisoned, 0, 2));
	assert_int_equal(dax_notify_failure(lower, DAX_FAILURE_POISON, 20, 1), 0);
	assert_int_equal(holder.poisoned[20], 1);
	assert_int_equal(dax_notify_failure(bottom.dax, DAX_FAILURE_POISON, 50, 1), 0); /* not the stack's */
	assert_int_equal(count_pages(holder.poisoned, 0, HOLDER_PAGES), 3);
	assert_int_equal(dax_for_each_poisoned(dax, count_runs, seen), 0);
	assert_true(seen[0] == 2 && seen[1] == 20 && seen[2] == 1);
	seen[0] = 0;
	seen[3] = 1;
	assert_int_equal(dax_for_each_poisoned(dax, count_runs, seen), 7);
	assert_true(seen[0] == 1 && seen[1] == 0 && seen[2] == 2);
	seen[0] = seen[3] = 0;
	assert_int_equal(dax_for_each_poisoned(bottom.dax, count_runs, seen), 0);
	assert_true(seen[0] == 3 && seen[1] == 50 && seen[2] == 1);
}

static void c6_5_copies_are_short_then_an_error(void **state)
{
	(void)state;
	char buf[4 * PAGE];
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 2, 1), 0);
	assert_int_equal(dax_copy_from(dax, 100, buf, sizeof(buf)), 2 * PAGE - 100);
	assert_int_equal(dax_copy_from(dax, 2 * PAGE, buf, 1), -EIO);
	assert_int_equal(dax_copy_from(dax, 3 * PAGE - 1, buf, 100), -EIO);
	assert_int_equal(dax_copy_from(dax, 3 * PAGE, buf, PAGE), PAGE);
	assert_int_equal(dax_copy_to(dax, PAGE, buf, 2 * PAGE), PAGE);
	assert_int_equal(dax_copy_to(dax, 2 * PAGE + 5, buf, 1), -EIO);
}

static void c6_5_whole_pages_written_over_are_good_again(void **state)
{
	(void)state;
	char buf[4 * PAGE], seen[4 * PAGE];
	uint64_t runs[4] = {0};
	struct dax_span span;
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 2, 2), 0);
	assert_int_equal(dax_recovery_write(dax, 2 * PAGE + 8, buf, PAGE), -EINVAL);
	assert_int_equal(dax_recovery_write(dax, 2 * PAGE, buf, 100), -EINVAL);
	assert_int_equal(dax_recovery_write(dax, PAGE, buf, 2 * PAGE), 2 * PAGE);
	assert_true(bottom.clears == 1 && bottom.offset == (5 + 8 + 2) * PAGE && bottom.len == PAGE);
	assert_int_equal(dax_direct_access(dax, 2, 2, &span), 1);
	assert_int_equal(dax_copy_from(dax, PAGE, seen, 3 * PAGE), 2 * PAGE);
	assert_memory_equal(seen, buf, 2 * PAGE);
	bottom.answer = -EIO; /* the device cannot */
	assert_int_equal(dax_recovery_write(dax, 3 * PAGE, buf, PAGE), -EIO);
	assert_int_equal(dax_zero_range(dax, 0, 6), -EIO);
	assert_int_equal(dax_direct_access(dax, 3, 1, &span), -EHWPOISON);
	bottom.answer = 0;
	assert_int_equal(dax_zero_range(dax, 0, 6), 0);
	assert_int_equal(dax_direct_access(dax, 0, 6, &span), 6);
	assert_int_equal(dax_for_each_poisoned(dax, count_runs, runs), 0);
	assert_int_equal(runs[0], 0);
	assert_int_equal(bottom.clears, 4);
	assert_int_equal(dax_recovery_write(dax, 0, buf, PAGE), PAGE); /* over good pages the device is not asked */
	assert_int_equal(bottom.clears, 4);
}

static void c6_5_a_recovery_write_ends_before_what_cannot_be_cleared(void **state)
{
	(void)state;
	char buf[4 * PAGE];
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 2, 1), 0);
	bottom.answer = -EOPNOTSUPP;
	assert_int_equal(dax_recovery_write(dax, 0, buf, 4 * PAGE), 2 * PAGE); /* as if they lay on two parts */
	assert_true(bottom.bytes[15 * PAGE - 1] == 'x' && bottom.bytes[16 * PAGE] == 0);
	assert_int_equal(dax_recovery_write(dax, 2 * PAGE, buf, 2 * PAGE), -EOPNOTSUPP);
	assert_int_equal(dax_recovery_write(dax, 3 * PAGE, buf, PAGE), PAGE);
}

static char *source; /* of a write: its page 4 is found to be missing by who copies from there */

static sem_t met;
static atomic_bool told;

/* A signal handler may not tell of it itself. */
static void on_source(int signal)
{
	(void)signal;
	(void)sem_post(&met);
	while (!atomic_load(&told))
		(void)sched_yield();
}

static void *find_out(void *arg)
{
	(void)arg;
	while (sem_wait(&met) != 0)
		;
	(void)mprotect(source, 8 * PAGE, PROT_READ | PROT_WRITE);
	(void)dax_notify_failure(dax, DAX_FAILURE_POISON, 3, 1);
	(void)dax_notify_failure(dax, DAX_FAILURE_POISON, 6, 1);
	atomic_store(&told, true);
	return NULL;
}

static void c6_5_what_is_found_bad_while_others_are_written_over_stays_bad(void **state)
{
	(void)state;
	struct sigaction action = {.sa_handler = on_source}, before;
	uint64_t runs[4] = {0};
	pthread_t finder;
	assert_int_equal(sem_init(&met, 0, 0), 0);
	assert_int_equal(pthread_create(&finder, NULL, find_out, NULL), 0);
	source = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(source, MAP_FAILED);
	memset(source, 's', 8 * PAGE);
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 1, 1), 0);
	assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
	assert_int_equal(mprotect(source + 4 * PAGE, PAGE, PROT_NONE), 0);
	assert_int_equal(dax_recovery_write(dax, 0, source, 8 * PAGE), 8 * PAGE);
	assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
	assert_int_equal(pthread_join(finder, NULL), 0);
	assert_true(bottom.clears == 1 && bottom.offset == (5 + 8 + 1) * PAGE && bottom.len == PAGE);
	assert_int_equal(dax_for_each_poisoned(dax, count_runs, runs), 0);
	assert_true(runs[0] == 2 && runs[1] == 6 && runs[2] == 1); /* 3, and 6; 1 is good */
	assert_int_equal(munmap(source, 8 * PAGE), 0);
}

static void c6_5_a_device_that_cannot_clear_says_so(void **state)
{
	(void)state;
	static const struct dax_device_ops old_ops = {
		.ops_bytes = offsetof(struct dax_device_ops, flush), /* of the first version */
		.populate = bottom_populate,
		.discard = bottom_discard,
	};
	char page[PAGE] = {0};
	char *mem = aligned_alloc(PAGE, 8 * PAGE);
	struct dax_params params = {.params_bytes = sizeof(params), .len_bytes = 8 * PAGE, .fd = -1, .ops = &old_ops};
	struct dax_device *limited;
	struct dax_span span;
	params.addr = mem;
	params.ctx = &bottom;
	assert_int_equal(dax_create(&params, &limited), 0); /* LIMITED: it has a record of what is bad all the same */
	assert_int_equal(dax_notify_failure(limited, DAX_FAILURE_POISON, 1, 1), 0);
	assert_int_equal(dax_direct_access(limited, 0, 8, &span), 1);
	assert_null(span.pgmap);
	assert_int_equal(dax_recovery_write(limited, PAGE, page, PAGE), -EOPNOTSUPP);
	assert_int_equal(dax_zero_range(limited, 1, 1), -EOPNOTSUPP);
	assert_int_equal(dax_recovery_write(limited, 0, page, PAGE), PAGE);
	assert_int_equal(dax_flush(limited, 0, PAGE), 0);
	assert_int_equal(dax_direct_access(limited, 1, 1, &span), -EHWPOISON);
	assert_int_equal(dax_destroy(limited), 0);
	free(mem);
}

static void c6_3_a_failure_of_the_whole_kills(void **state)
{
	(void)state;
	struct dax_span span;
	assert_int_equal(dax_notify_failure(bottom.dax, DAX_FAILURE_DEAD, 0, 64), 0);
	assert_true(only_pages(holder.dead, 0, 32));
	assert_int_equal(dax_direct_access(dax, 0, 1, &span), -ENXIO);
	assert_int_equal(dax_notify_failure(bottom.dax, DAX_FAILURE_POISON, 8, 1),
			 0); /* it is known, for who reads the list */
	assert_int_equal(holder.poisoned[0], 1);
	assert_int_equal(dax_direct_access(dax, 0, 1, &span), -ENXIO); /* before -EHWPOISON */
}

/* A holder that asks for the list in its callbacks, of its device or another, while it is being released: that waits for it. */
static struct dax_device *let_go, *asked_for;
static atomic_int inside;

static int ask(void)
{
	uint64_t seen[4] = {0};
	atomic_store(&inside, 1);
	while (gate_is_open(&let_go->held))
		(void)sched_yield();
	int err = dax_for_each_poisoned(asked_for, count_runs, seen);
	return err ? -1 : (int)seen[0];
}

static void ask_when_failed(void *counter, enum dax_failure what, uint64_t pgoff, uint64_t npages)
{
	(void)what, (void)pgoff, (void)npages;
	*(int *)counter = ask();
}

static int ask_when_freed(void *counter, uint64_t pgoff, uint64_t npages)
{
	(void)pgoff, (void)npages;
	*(int *)counter = ask();
	return PGMAP_FREE_IDLE;
}

static const struct dax_holder_ops asking_ops = {sizeof(asking_ops), ask_when_failed, ask_when_freed};

static void *touch(void *unused)
{
	(void)unused;
	touch_page(let_go, 3);
	return NULL;
}

static void *lose(void *unused)
{
	(void)unused;
	assert_int_equal(dax_notify_failure(let_go, DAX_FAILURE_POISON, 3, 1), 0);
	return NULL;
}

static int runs_seen_during_release(void *(*cause)(void *))
{
	pthread_t thread;
	int runs = 0;
	atomic_store(&inside, 0);
	assert_int_equal(dax_hold(let_go, &runs, &asking_ops), 0);
	assert_int_equal(pthread_create(&thread, NULL, cause, NULL), 0);
	while (!atomic_load(&inside))
		(void)sched_yield();
	assert_int_equal(dax_release(let_go, &runs), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return runs;
}

static void callbacks_may_ask_for_the_list(void **state)
{
	(void)state;
	struct bottom other;
	bottom_open(&other, 8, 0);
	let_go = asked_for = other.dax;
	assert_int_equal(dax_notify_failure(other.dax, DAX_FAILURE_POISON, 6, 1), 0);
	assert_int_equal(runs_seen_during_release(touch), 1);
	assert_int_equal(runs_seen_during_release(lose), 2);
	asked_for = dax; /* somebody else's */
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 1, 1), 0);
	assert_int_equal(runs_seen_during_release(lose), 1);
	bottom_close(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_stack, close_stack)
	static const struct CMUnitTest tests[] = {
		TEST(bad_arguments_are_refused),
		TEST(c6_5_the_holder_is_told_and_the_pages_are_not_handed_out),
		TEST(c6_5_it_is_listed_wherever_it_was_found_out),
		TEST(c6_5_copies_are_short_then_an_error),
		TEST(c6_5_whole_pages_written_over_are_good_again),
		TEST(c6_5_a_recovery_write_ends_before_what_cannot_be_cleared),
		TEST(c6_5_what_is_found_bad_while_others_are_written_over_stays_bad),
		TEST(c6_5_a_device_that_cannot_clear_says_so),
		TEST(c6_3_a_failure_of_the_whole_kills),
		TEST(callbacks_may_ask_for_the_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
