/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory errors, caught: from an address to the pages of a device, to short copies, and to the holder of a stack on it. */
#include "stack_util.h"

#include <fcntl.h>

#include "broken.h"

enum { PAGES = 16 };

static char *memory;
static struct dax_device *device, *dax; /* dax: pages 4 to 15 of device */
static struct holder holder;
static int caught_fds[2], clears, clear_answer;

static int discard(void *ctx, uint64_t offset, uint64_t len)
{
	(void)ctx, (void)offset, (void)len;
	return 0;
}

/* As a device that gives other memory in the place of what is bad; or (1) says so and does not. */
static int clear(void *ctx, uint64_t offset, uint64_t len)
{
	(void)ctx, (void)offset, (void)len;
	clears++;
	if (clear_answer == 0)
		broken_heal();
	return clear_answer < 0 ? clear_answer : 0;
}

static const struct dax_device_ops ops = {.ops_bytes = sizeof(ops), .discard = discard, .clear_poison = clear};

static void on_caught(void *arg, const struct dax_caught *caught)
{
	(void)arg;
	(void)!write(caught_fds[1], caught, sizeof(*caught));
}

static int catch (void **state)
{
	(void)state;
	assert_int_equal(pipe2(caught_fds, O_CLOEXEC), 0);
	assert_int_equal(dax_catch_errors(NULL, NULL), 0);
	broken_remember();
	return dax_catch_errors(on_caught, NULL);
}

static int open_device(void **state)
{
	(void)state;
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	memset(memory, 'm', PAGES * PAGE);
	clears = clear_answer = 0;
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = PGMAP_FSDAX,
		.len_bytes = PAGES * PAGE,
		.addr = memory,
		.fd = -1,
		.ops = &ops,
	};
	assert_int_equal(dax_create(&params, &device), 0);
	assert_int_equal(dax_create_linear(&(struct dax_part){device, 4, 12}, 1, NULL, &dax), 0);
	memset(&holder, 0, sizeof(holder));
	return dax_hold(dax, &holder, &holder_ops);
}

static int close_device(void **state)
{
	(void)state;
	broken_heal();
	assert_int_equal(dax_release(dax, &holder), 0);
	assert_int_equal(dax_destroy(dax), 0);
	assert_int_equal(dax_destroy(device), 0);
	return munmap(memory, PAGES * PAGE);
}

static void c6_5_a_copy_over_broken_memory_is_short_and_then_eio(void **state)
{
	char buf[8 * PAGE];
	struct dax_span span;
	(void)state;
	broken_make(memory + 6 * PAGE, PAGE, 12); /* page 2 of dax */
	assert_int_equal(dax_copy_from(dax, 10, buf, 4 * PAGE), 2 * PAGE - 10);
	assert_true(holder.calls == 1 && only_pages(holder.poisoned, 2, 1));
	assert_int_equal(dax_copy_from(dax, 2 * PAGE, buf, 1), -EIO);
	assert_int_equal(dax_copy_to(dax, 3 * PAGE - 1, buf, 1), -EIO);
	assert_int_equal(holder.calls, 1);
	assert_int_equal(dax_direct_access(dax, 2, 1, &span), -EHWPOISON);
	assert_int_equal(dax_direct_access(dax, 0, 12, &span), 2);
	assert_int_equal(dax_copy_from(dax, 3 * PAGE, buf, PAGE), PAGE);
}

static void c6_5_a_write_finds_out_too(void **state)
{
	static char buf[4 * PAGE];
	(void)state;
	broken_make(memory + 4 * PAGE, PAGE, 12);
	assert_int_equal(dax_copy_to(dax, 0, buf, 2 * PAGE), -EIO);
	assert_true(holder.calls == 1 && only_pages(holder.poisoned, 0, 1));
}

static void c6_5_zeroing_finds_out_and_then_clears(void **state)
{
	(void)state;
	broken_make(memory + 5 * PAGE, PAGE, 12);
	assert_int_equal(dax_zero_range(dax, 0, 4), -EIO); /* nobody knew */
	assert_true(holder.calls == 1 && only_pages(holder.poisoned, 1, 1));
	assert_int_equal(clears, 0);
	clear_answer = -EOPNOTSUPP;
	assert_int_equal(dax_zero_range(dax, 0, 4), -EOPNOTSUPP);
	clear_answer = 1; /* it says that it has, and lies */
	assert_int_equal(dax_zero_range(dax, 0, 4), -EIO);
	assert_int_equal(dax_verify(dax, 0, 12), 1);
	clear_answer = 0;
	assert_int_equal(dax_zero_range(dax, 0, 4), 0);
	assert_int_equal(dax_verify(dax, 0, 12), 0);
	assert_int_equal(memory[5 * PAGE], 0);
}

static void c6_5_a_recovery_write_is_short_and_then_eio(void **state)
{
	static char buf[8 * PAGE];
	(void)state;
	memset(buf, 'r', sizeof(buf));
	broken_make(memory + 6 * PAGE, PAGE, 12); /* page 2 of dax */
	clear_answer = 1;                         /* it says that it clears, and lies */
	assert_int_equal(dax_recovery_write(dax, 0, buf, 4 * PAGE), 2 * PAGE);
	assert_true(memory[6 * PAGE - 1] == 'r' && memory[7 * PAGE] == 'm');
	assert_true(only_pages(holder.poisoned, 2, 1));
	assert_int_equal(dax_notify_failure(dax, DAX_FAILURE_POISON, 1, 1), 0);
	assert_int_equal(dax_recovery_write(dax, PAGE, buf, 3 * PAGE), PAGE);
	assert_int_equal(dax_recovery_write(dax, 2 * PAGE, buf, 2 * PAGE), -EIO);
	assert_int_equal(dax_verify(dax, 0, 12), 1); /* page 1 is good */
	clear_answer = 0;
	assert_int_equal(dax_recovery_write(dax, 2 * PAGE, buf, 2 * PAGE), 2 * PAGE);
	assert_int_equal(dax_verify(dax, 0, 12), 0);
}

static void c6_5_verify_reads_all_and_tells_what_is_lost(void **state)
{
	(void)state;
	assert_int_equal(dax_verify(NULL, 0, 1), -EINVAL);
	assert_int_equal(dax_verify(dax, 0, 0), -EINVAL);
	assert_int_equal(dax_verify(dax, 11, 2), -ERANGE);
	assert_int_equal(dax_verify(dax, 0, 12), 0);
	broken_make(memory + 7 * PAGE, 2 * PAGE, 12);
	assert_int_equal(dax_verify(dax, 0, 3), 0);
	assert_int_equal(holder.calls, 0);
	assert_int_equal(dax_verify(dax, 2, 2), 1);
	assert_int_equal(dax_verify(dax, 0, 12), 2);
	assert_true(only_pages(holder.poisoned, 3, 2));
	assert_int_equal(dax_verify(dax, 5, 7), 0);
}

static void c6_5_the_size_that_the_machine_says_is_lost_and_no_more_than_the_device(void **state)
{
	char buf[PAGE];
	(void)state;
	broken_make(memory + 9 * PAGE, PAGE, 21); /* 2 MiB around it */
	uintptr_t unit = (uintptr_t)(memory + 9 * PAGE) >> 21;
	assert_int_equal(dax_copy_from(dax, 5 * PAGE, buf, PAGE), -EIO);
	for (int i = 0; i < 12; i++)
		assert_int_equal(holder.poisoned[i], (uintptr_t)(memory + (4 + i) * PAGE) >> 21 == unit);
}

static void pages_that_are_not_there_are_no_poison(void **state)
{
	char buf[PAGE];
	(void)state;
	broken_make(memory + 4 * PAGE, PAGE, 12);
	broken.code = BUS_ADRERR;
	assert_int_equal(dax_copy_from(dax, 0, buf, PAGE), -EIO);
	assert_int_equal(dax_verify(dax, 0, 1), -EIO);
	assert_int_equal(dax_zero_range(dax, 0, 1), -EIO);
	assert_int_equal(holder.calls, 0);
	broken_heal();
	assert_int_equal(dax_copy_from(dax, 0, buf, PAGE), PAGE);
}

static void c6_5_what_the_kernel_says_early_is_recorded_and_told(void **state)
{
	struct dax_caught caught;
	sigset_t bus, old;
	(void)state;
	(void)sigemptyset(&bus);
	(void)sigaddset(&bus, SIGBUS);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &bus, &old), 0);
	assert_int_equal(broken_tell_early(memory + 8 * PAGE, 12), 0);
	assert_int_equal(read(caught_fds[0], &caught, sizeof(caught)), sizeof(caught));
	assert_true(caught.dax == device && caught.pgoff == 8 && caught.npages == 1);
	assert_true(caught.addr == memory + 8 * PAGE && caught.len_bytes == PAGE);
	assert_true(holder.calls == 1 && only_pages(holder.poisoned, 4, 1));
	assert_int_equal(broken_tell_early((const char *)&caught, 12), 0); /* no device's */
	assert_int_equal(read(caught_fds[0], &caught, sizeof(caught)), sizeof(caught));
	assert_true(!caught.dax && caught.npages == 0);
	assert_int_equal(holder.calls, 1);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_device, close_device)
	const struct CMUnitTest tests[] = {
		TEST(c6_5_a_copy_over_broken_memory_is_short_and_then_eio),
		TEST(c6_5_a_write_finds_out_too),
		TEST(c6_5_zeroing_finds_out_and_then_clears),
		TEST(c6_5_a_recovery_write_is_short_and_then_eio),
		TEST(c6_5_verify_reads_all_and_tells_what_is_lost),
		TEST(c6_5_the_size_that_the_machine_says_is_lost_and_no_more_than_the_device),
		TEST(pages_that_are_not_there_are_no_poison),
		TEST(c6_5_what_the_kernel_says_early_is_recorded_and_told),
	};
	return cmocka_run_group_tests(tests, catch, NULL);
}
