/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tools_cmd_cp.c - a copy is whole or not there, and never in the place of something else's temporary file. The pool is
 * embedded, and stays from one command to the next; the random numbers are the test's, and so is the interruption: it comes
 * between the name of the temporary file and its first byte.
 */
#include "output.h"

#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "commands.h"

static struct pgmap_client *pool;
static uint64_t number; /* the next random one */
static bool interrupts;
static char text[1024];

#define TAKEN "/.cp-0000000000000abc"

ssize_t __wrap_getrandom(void *to, size_t bytes, unsigned flags);
int __wrap_pgmap_connect(const char *target, struct pgmap_client **out);
int __wrap_pgmap_disconnect(struct pgmap_client *client);
int __real_pgmap_connect(const char *target, struct pgmap_client **out);
int __real_pgmap_disconnect(struct pgmap_client *client);

ssize_t __wrap_getrandom(void *to, size_t bytes, unsigned flags)
{
	(void)flags;
	memcpy(to, &number, bytes);
	number++;
	if (interrupts)
		(void)raise(SIGINT);
	return (ssize_t)bytes;
}

int __wrap_pgmap_connect(const char *target, struct pgmap_client **out)
{
	(void)target;
	*out = pool;
	return 0;
}

int __wrap_pgmap_disconnect(struct pgmap_client *client)
{
	assert_ptr_equal(client, pool);
	return 0;
}

enum { PATTERN = 20 << 20 }; /* several chunks */

static void make_file(const char *path, uint64_t bytes)
{
	struct pgmap_mapping *mapping;
	assert_int_equal(pgmap_open_map(pool, path, PGMAP_O_CREATE, bytes, PGMAP_MAP_READ | PGMAP_MAP_WRITE, &mapping),
			 0);
	uint32_t *words = pgmap_mapping_address(mapping);
	for (uint64_t i = 0; i < bytes / 4; i++)
		words[i] = (uint32_t)(i * 2654435761u);
	assert_int_equal(pgmap_unmap(mapping), 0);
}

static int set_up(void **state)
{
	(void)state;
	struct pgmap_file *file;
	assert_int_equal(__real_pgmap_connect("embedded:memfd:size=64M,page=4K", &pool), 0);
	assert_int_equal(pgmap_open(pool, "/empty", PGMAP_O_CREATE, &file), 0);
	assert_int_equal(pgmap_close(file), 0);
	make_file("/file", PATTERN);
	number = 1;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return __real_pgmap_disconnect(pool);
}

static int cp(const char *option, const char *src, const char *dst)
{
	char *args[] = {(char *)(uintptr_t)src, (char *)(uintptr_t)dst};
	struct cli cli = {.command = &cmd_cp, .argc = 2, .argv = args, .option = {option}};
	struct output output = output_begin(stderr);
	int code = cmd_cp.run(&cli);
	(void)output_end(&output, text, sizeof(text));
	return code;
}

static bool is_copy(const char *path)
{
	struct pgmap_mapping *a, *b;
	assert_int_equal(pgmap_open_map(pool, "/file", 0, 0, PGMAP_MAP_READ, &a), 0);
	assert_int_equal(pgmap_open_map(pool, path, 0, 0, PGMAP_MAP_READ, &b), 0);
	bool same = pgmap_mapping_bytes(a) == pgmap_mapping_bytes(b) &&
		    memcmp(pgmap_mapping_address(a), pgmap_mapping_address(b), pgmap_mapping_bytes(a)) == 0;
	assert_int_equal(pgmap_unmap(a), 0);
	assert_int_equal(pgmap_unmap(b), 0);
	return same;
}

static int count_entry(void *arg, const char *name, const struct pgmap_stat *st)
{
	(void)name;
	(void)st;
	++*(unsigned *)arg;
	return 0;
}

static unsigned count_files(const char *path)
{
	unsigned n = 0;
	assert_int_equal(pgmap_readdir(pool, path, count_entry, &n), 0);
	return n;
}

static void a_copy_is_whole(void **state)
{
	(void)state;
	struct pgmap_stat st;
	assert_int_equal(cp(NULL, "/file", "/copy"), CLI_DONE);
	assert_true(is_copy("/copy"));
	assert_int_equal(cp(NULL, "/empty", "/none"), CLI_DONE);
	assert_int_equal(pgmap_stat(pool, "/none", &st), 0);
	assert_int_equal(st.size_bytes, 0);
	assert_int_equal(cp(NULL, "/file", "/none"), CLI_DONE); /* over another */
	assert_true(is_copy("/none"));
	assert_int_equal(count_files("/"), 4);
	assert_string_equal(text, "");
}

static void a_temporary_name_that_is_taken_gives_way_to_another(void **state)
{
	(void)state;
	struct pgmap_stat before, after;
	number = 0xabc;
	make_file(TAKEN, 4096);
	assert_int_equal(pgmap_stat(pool, TAKEN, &before), 0);
	assert_int_equal(cp(NULL, "/file", "/copy"), CLI_DONE);
	assert_int_equal(number, 0xabe);
	assert_true(is_copy("/copy"));
	assert_int_equal(pgmap_stat(pool, TAKEN, &after), 0);
	assert_memory_equal(&before, &after, sizeof(after));
	assert_int_equal(count_files("/"), 4);
}

static void a_copy_that_does_not_fit_leaves_nothing(void **state)
{
	(void)state;
	struct pgmap_info before, after;
	make_file("/big", 40 << 20);
	make_file("/small", 4096);
	assert_int_equal(pgmap_info(pool, &before), 0);
	assert_int_equal(cp(NULL, "/big", "/small"), CLI_FAILED);
	assert_non_null(strstr(text, "/big: the pool is full: 40 MiB does not fit into "));
	assert_int_equal(pgmap_info(pool, &after), 0);
	assert_int_equal(after.free, before.free);
	assert_int_equal(count_files("/"), 4);
}

/* In a process of its own: its answer is the exit status. */
static int interrupted(const char *option, const char *src, const char *dst, unsigned left)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		if (set_up(NULL) || pgmap_mkdir(pool, "/d"))
			_exit(1);
		interrupts = true;
		int code = cp(option, src, dst);
		if (code != CLI_FAILED || !strstr(text, "interrupted") || strchr(text, '\n')[1])
			_exit(2);
		_exit(count_files("/") == 3 && count_files("/d") == left ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void an_interrupted_copy_leaves_nothing(void **state)
{
	(void)state;
	assert_int_equal(interrupted(NULL, "/file", "/d/copy", 0), 0);
	assert_int_equal(interrupted(NULL, "/file", "/empty", 0), 0);
	assert_int_equal(interrupted(NULL, "/empty", "/d/copy", 0), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_interrupted_copy_leaves_nothing), /* before this program has threads */
		T(a_copy_is_whole),
		T(a_temporary_name_that_is_taken_gives_way_to_another),
		T(a_copy_that_does_not_fit_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
