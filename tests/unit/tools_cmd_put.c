/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tools_cmd_put.c - the temporary name of a put: what somebody else has made under it is neither taken for its own nor
 * taken away. The pool is embedded, and stays from one command to the next; the random numbers are the test's.
 */
#include "output.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>

#include "commands.h"

static struct pgmap_client *pool;
static const uint64_t *numbers; /* the next random ones; null: there are none */
static uint64_t ino;            /* of the file that is in the way */
static char text[1024];

#define TAKEN "/.put-0000000000000abc"

/* In the place of getrandom(), and of the connection that each command makes. */
ssize_t __wrap_getrandom(void *to, size_t bytes, unsigned flags);
int __wrap_pgmap_connect(const char *target, struct pgmap_client **out);
int __wrap_pgmap_disconnect(struct pgmap_client *client);
int __real_pgmap_connect(const char *target, struct pgmap_client **out);
int __real_pgmap_disconnect(struct pgmap_client *client);

ssize_t __wrap_getrandom(void *to, size_t bytes, unsigned flags)
{
	assert_int_equal(flags, 0);
	assert_int_equal(bytes, sizeof(*numbers));
	if (!numbers) {
		errno = ENOSYS;
		return -1;
	}
	memcpy(to, numbers++, bytes);
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

static int set_up(void **state)
{
	(void)state;
	struct pgmap_file *file;
	struct pgmap_stat st;
	numbers = &(const uint64_t){1}; /* the pool's own */
	assert_int_equal(__real_pgmap_connect("embedded:memfd:size=4M,page=4K", &pool), 0);
	numbers = NULL;
	assert_int_equal(pgmap_open(pool, TAKEN, PGMAP_O_CREATE | PGMAP_O_EXCL, &file), 0);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(pgmap_stat(pool, TAKEN, &st), 0);
	ino = st.ino;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return __real_pgmap_disconnect(pool);
}

static int put(const char *src, const char *dst)
{
	char *args[] = {(char *)(uintptr_t)src, (char *)(uintptr_t)dst};
	struct cli cli = {.command = &cmd_put, .argc = 2, .argv = args};
	struct output output = output_begin(stderr);
	int code = cmd_put.run(&cli);
	output_end(&output, text, sizeof(text));
	return code;
}

/* As the path of a file that holds as many bytes, or of a pipe. */
static const char *source(int fd)
{
	static char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

static int memfd_of(size_t bytes)
{
	int fd = memfd_create("source", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static int pipe_of(size_t bytes)
{
	static const char zeros[64];
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], zeros, bytes), bytes);
	assert_int_equal(close(ends[1]), 0);
	return ends[0];
}

static void assert_size(const char *path, uint64_t bytes)
{
	struct pgmap_stat st;
	assert_int_equal(pgmap_stat(pool, path, &st), 0);
	assert_int_equal(st.size_bytes, bytes);
}

static void assert_the_other_is_there(void)
{
	struct pgmap_stat st;
	assert_int_equal(pgmap_stat(pool, TAKEN, &st), 0);
	assert_int_equal(st.ino, ino);
	assert_int_equal(st.size_bytes, 0);
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

static void a_temporary_name_that_is_taken_gives_way_to_another(void **state)
{
	(void)state;
	static const uint64_t taken_twice[] = {0xabc, 0xabc, 0xdef};
	int fds[] = {memfd_of(5000), memfd_of(0), pipe_of(50)};
	static const uint64_t sizes[] = {5000, 0, 50};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		numbers = taken_twice;
		assert_int_equal(put(source(fds[i]), "/file"), CLI_DONE);
		assert_ptr_equal(numbers, taken_twice + 3);
		assert_size("/file", sizes[i]);
		assert_the_other_is_there();
		assert_int_equal(count_files("/"), 2);
		assert_int_equal(close(fds[i]), 0);
	}
}

static void no_free_name_is_an_error_that_takes_nothing_away(void **state)
{
	(void)state;
	static uint64_t always[1000];
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		always[i] = 0xabc;
	int fds[] = {memfd_of(5000), memfd_of(0), pipe_of(50)};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		numbers = always;
		assert_int_equal(put(source(fds[i]), "/file"), CLI_FAILED);
		assert_non_null(strstr(text, "no name for a temporary file"));
		assert_the_other_is_there();
		assert_int_equal(count_files("/"), 1);
		assert_int_equal(close(fds[i]), 0);
	}
}

static void a_system_without_random_numbers_is_an_error(void **state)
{
	(void)state;
	int fd = memfd_of(1);
	numbers = NULL;
	assert_int_equal(put(source(fd), "/file"), CLI_FAILED);
	assert_non_null(strstr(text, strerror(ENOSYS)));
	assert_int_equal(count_files("/"), 1);
	assert_int_equal(close(fd), 0);
}

static void a_put_that_fails_takes_its_own_file_away(void **state)
{
	(void)state;
	static const uint64_t one_each[] = {1, 2};
	int fd = memfd_of(8 << 20);
	char in_the_way[64];
	numbers = one_each;
	assert_int_equal(put(source(fd), "/file"), CLI_FAILED);
	assert_non_null(strstr(text, "the pool is full"));
	assert_int_equal(count_files("/"), 1);
	/* Made and filled, and then its name is a directory's. */
	assert_int_equal(ftruncate(fd, 100), 0);
	(void)snprintf(in_the_way, sizeof(in_the_way), "/d/%d", fd);
	assert_int_equal(pgmap_mkdir(pool, "/d"), 0);
	assert_int_equal(pgmap_mkdir(pool, in_the_way), 0);
	assert_int_equal(put(source(fd), "/d"), CLI_FAILED);
	assert_ptr_equal(numbers, one_each + 2);
	assert_int_equal(count_files("/d"), 1);
	assert_the_other_is_there();
	assert_int_equal(close(fd), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_temporary_name_that_is_taken_gives_way_to_another),
		T(no_free_name_is_an_error_that_takes_nothing_away),
		T(a_system_without_random_numbers_is_an_error),
		T(a_put_that_fails_takes_its_own_file_away),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
