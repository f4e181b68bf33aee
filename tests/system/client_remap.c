/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_remap.c - a mapping gets the pages that its file has now, at the address that it had; or stays as it was.
 */
#include "sys.h"

#include <stdatomic.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PAGE = 4096, RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE };
#define MIB (UINT64_C(1) << 20)

static struct sys_suite suite;
static struct pgmap_client *client;

static int set_up(void **state)
{
	(void)state;
	int err = sys_suite_begin(&suite);
	client = suite.client;
	return err;
}

static int tear_down(void **state)
{
	(void)state;
	return sys_suite_end(&suite);
}

static struct pgmap_file *open_f(void)
{
	struct pgmap_file *file;
	assert_int_equal(pgmap_open(client, "/f", 0, &file), 0);
	return file;
}

static int is_all(const char *p, uint64_t len, char byte)
{
	return p[0] == byte && memcmp(p, p + 1, len - 1) == 0;
}

static void end(struct pgmap_mapping *mapping, struct pgmap_file *file)
{
	assert_int_equal(pgmap_unmap(mapping), 0);
	pgmap_close(file);
	assert_int_equal(pgmap_unlink(client, "/f"), 0);
	assert_int_equal(sys_info(client).used, 0);
	assert_int_equal(sys_info(client).live_pages, 0);
}

static void what_was_taken_is_as_the_file_has_it_now(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", 2 * MIB);
	struct pgmap_file *file = open_f();
	char *at = pgmap_mapping_address(mapping);
	memset(at, 'x', 2 * MIB);
	assert_int_equal(pgmap_punch(file, MIB, MIB, PGMAP_DEFER, 0), 0);
	assert_true(is_all(at, 2 * MIB, 'x')); /* the old pages, which nobody else has */
	assert_int_equal(pgmap_pin(mapping, MIB, 1, PGMAP_PIN_LOCAL), -ESTALE);
	assert_int_equal(sys_info(client).waiting, 256);
	assert_int_equal(pgmap_remap(mapping, 0), 0);
	assert_ptr_equal(pgmap_mapping_address(mapping), at);
	assert_int_equal(pgmap_mapping_bytes(mapping), 2 * MIB);
	assert_true(is_all(at, MIB, 'x') && is_all(at + MIB, MIB, 0));
	assert_int_equal(sys_info(client).waiting, 0);
	assert_int_equal(pgmap_pin(mapping, 0, 2 * MIB, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(mapping, 0, 2 * MIB, PGMAP_PIN_LOCAL), 0);
	at[MIB] = 'y';
	struct pgmap_mapping *other = sys_map(client, "/f", 0);
	assert_int_equal(((char *)pgmap_mapping_address(other))[MIB], 'y');
	assert_int_equal(pgmap_unmap(other), 0);
	end(mapping, file);
}

static void what_was_added_lies_behind(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", PAGE), *anew;
	struct pgmap_file *file = open_f();
	char *at = pgmap_mapping_address(mapping);
	/* Room is made for sure: where a longer mapping lay. */
	at[0] = 'x';
	assert_int_equal(pgmap_truncate(file, 8 * MIB), 0);
	assert_int_equal(pgmap_map(file, 0, 0, RW, &anew), 0);
	char *there = pgmap_mapping_address(anew);
	assert_int_equal(pgmap_remap(anew, PAGE), 0); /* shorter: the addresses behind are free */
	assert_int_equal(pgmap_mapping_bytes(anew), PAGE);
	unsigned char resident;
	assert_int_equal(mincore(there + MIB, PAGE, &resident), -1);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(pgmap_remap(anew, 4 * MIB), 0);
	assert_int_equal(pgmap_remap(anew, 0), 0); /* to the end */
	assert_ptr_equal(pgmap_mapping_address(anew), there);
	assert_int_equal(pgmap_mapping_bytes(anew), 8 * MIB);
	assert_true(there[0] == 'x' && is_all(there + PAGE, 8 * MIB - PAGE, 0));
	there[8 * MIB - 1] = 'z';
	assert_int_equal(pgmap_unmap(mapping), 0);
	end(anew, file);
}

static void what_fails_leaves_it_as_it_was(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", 2 * MIB);
	struct pgmap_file *file = open_f();
	char *at = pgmap_mapping_address(mapping);
	memset(at, 'x', 2 * MIB);
	assert_int_equal(pgmap_remap(NULL, 0), -EINVAL);
	assert_int_equal(pgmap_remap(mapping, 3 * MIB), -ERANGE);
	assert_int_equal(pgmap_pin(mapping, PAGE, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_remap(mapping, 0), -EBUSY);
	assert_int_equal(pgmap_unpin(mapping, PAGE, 1, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_truncate(file, 4 * MIB), 0);
	void *in_the_way =
		mmap(at + 3 * MIB, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_true(in_the_way != MAP_FAILED || errno == EEXIST); /* something else is */
	assert_int_equal(pgmap_remap(mapping, 0), -ENOMEM);
	if (in_the_way != MAP_FAILED)
		assert_int_equal(munmap(in_the_way, PAGE), 0);
	assert_int_equal(pgmap_mapping_bytes(mapping), 2 * MIB);
	assert_true(is_all(at, 2 * MIB, 'x'));
	assert_int_equal(sys_who(client, NULL, 0).rows, 1);
	assert_int_equal(pgmap_pin(mapping, 0, 2 * MIB, PGMAP_PIN_LOCAL), 0); /* its words are open again */
	assert_int_equal(pgmap_unpin(mapping, 0, 2 * MIB, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_truncate(file, 0), 0);
	assert_int_equal(pgmap_remap(mapping, 0), -ERANGE);
	assert_true(is_all(at, 2 * MIB, 'x'));
	end(mapping, file);
}

/* Whatever moment an access comes at, it is of the old pages or of the new. */
static struct {
	_Atomic bool stop;
	const volatile char *at;
} reader;

static void *read_on(void *arg)
{
	while (!atomic_load(&reader.stop)) {
		for (uint64_t i = 0; i < MIB; i += PAGE) {
			char byte = reader.at[i];
			if (byte != 'x' && byte != 0)
				return arg;
		}
	}
	return NULL;
}

static void no_access_fails_meanwhile(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", MIB);
	struct pgmap_file *file = open_f();
	pthread_t thread;
	void *wrong;
	reader.at = pgmap_mapping_address(mapping);
	atomic_store(&reader.stop, false);
	assert_int_equal(pthread_create(&thread, NULL, read_on, &reader), 0);
	for (unsigned i = 0; i < 300; i++) {
		memset(pgmap_mapping_address(mapping), 'x', MIB);
		assert_int_equal(pgmap_punch(file, (i % 16) * 16 * PAGE, 16 * PAGE, PGMAP_DEFER, 0), 0);
		assert_int_equal(pgmap_remap(mapping, 0), 0);
		assert_ptr_equal(pgmap_mapping_address(mapping), reader.at);
	}
	atomic_store(&reader.stop, true);
	assert_int_equal(pthread_join(thread, &wrong), 0);
	assert_null(wrong);
	assert_int_equal(sys_info(client).waiting, 0);
	end(mapping, file);
}

/* A child that was forked before has the old pages until it has gone (c6.8, c7.8). */
static void c7_8_a_child_keeps_what_was_there(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(client, "/f", MIB);
	struct pgmap_file *file = open_f();
	char *at = pgmap_mapping_address(mapping), byte;
	int go[2], status;
	memset(at, 'x', MIB);
	assert_int_equal(pipe(go), 0);
	pid_t child = fork();
	if (child == 0) {
		(void)close(go[1]);
		_exit(pgmap_remap(mapping, 0) != -EPERM || read(go[0], &byte, 1) != 0 || !is_all(at, MIB, 'x'));
	}
	assert_true(child > 0);
	assert_int_equal(pgmap_punch(file, 0, MIB, PGMAP_DEFER, 0), 0);
	assert_int_equal(pgmap_remap(mapping, 0), 0);
	assert_true(is_all(at, MIB, 0));
	assert_int_equal(sys_info(client).waiting, 256);
	memset(at, 'y', MIB);
	assert_int_equal(close(go[0]) | close(go[1]), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	while (sys_info(client).waiting) /* the kernel's word comes by a thread */
		(void)sched_yield();
	end(mapping, file);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(what_was_taken_is_as_the_file_has_it_now), T(what_was_added_lies_behind),
		T(what_fails_leaves_it_as_it_was),           T(no_access_fails_meanwhile),
		T(c7_8_a_child_keeps_what_was_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
