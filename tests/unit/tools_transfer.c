/* SPDX-License-Identifier: BSD-3-Clause */
/* tools_transfer.c - bytes between a descriptor and memory: all of them, or the error; files by several threads. */
#include "cli.h"
#include "output.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "transfer.h"

/* More than two chunks, so that several threads take part; and no whole number of anything. */
enum { BYTES = (24 << 20) + 4097 };

static char *pattern, *memory;
static struct progress progress;

static int make_memory(void **state)
{
	(void)state;
	pattern = malloc(BYTES);
	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!pattern || memory == MAP_FAILED)
		return -1;
	uint32_t x = 1;
	for (size_t i = 0; i < BYTES; i++)
		pattern[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
	return 0;
}

static int free_memory(void **state)
{
	(void)state;
	free(pattern);
	return munmap(memory, BYTES);
}

static int set_up(void **state)
{
	(void)state;
	memset(memory, 0, BYTES);
	progress = (struct progress){0};
	return 0;
}

static int file_with(const char *bytes, size_t len)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, bytes + done, len - done);
		assert_true(n > 0);
		done += (size_t)n;
	}
	return fd;
}

static void a_file_comes_in_whole(void **state)
{
	(void)state;
	static const size_t sizes[] = {BYTES, 1, 4096, 8 << 20, (8 << 20) + 1};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int fd = file_with(pattern, sizes[i]);
		set_up(NULL);
		assert_int_equal(transfer_in(fd, memory, sizes[i], &progress), sizes[i]);
		assert_memory_equal(memory, pattern, sizes[i]);
		assert_int_equal(progress.done_bytes, sizes[i]);
		if (sizes[i] < BYTES)
			assert_int_equal(memory[sizes[i]], 0); /* and nothing beyond */
		assert_int_equal(close(fd), 0);
	}
}

static void a_file_that_is_shorter_says_where_it_ends(void **state)
{
	(void)state;
	static const size_t ends[] = {0, 1, 8 << 20, (8 << 20) + 5, (16 << 20) - 1, BYTES - 1};
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		int fd = file_with(pattern, ends[i]);
		set_up(NULL);
		assert_int_equal(transfer_in(fd, memory, BYTES, &progress), ends[i]);
		assert_memory_equal(memory, pattern, ends[i]);
		assert_int_equal(progress.done_bytes, ends[i]);
		assert_int_equal(close(fd), 0);
	}
}

static void memory_goes_out_whole(void **state)
{
	(void)state;
	int fd = file_with("", 0);
	assert_int_equal(transfer_out(fd, pattern, BYTES, &progress), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), BYTES);
	assert_int_equal(pread(fd, memory, BYTES, 0), BYTES);
	assert_memory_equal(memory, pattern, BYTES);
	assert_int_equal(progress.done_bytes, BYTES);
	assert_int_equal(transfer_out(fd, pattern, 0, &progress), 0);
	assert_int_equal(close(fd), 0);
}

static void memory_is_copied_whole(void **state)
{
	(void)state;
	static const size_t sizes[] = {BYTES, 1, 4096, 8 << 20, (8 << 20) + 1, 0};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		set_up(NULL);
		assert_int_equal(transfer_copy(memory, pattern, sizes[i], &progress), 0);
		assert_memory_equal(memory, pattern, sizes[i]);
		assert_int_equal(progress.done_bytes, sizes[i]);
		if (sizes[i] < BYTES)
			assert_int_equal(memory[sizes[i]], 0);
	}
}

static void the_system_s_error_is_the_answer(void **state)
{
	(void)state;
	int full = open("/dev/full", O_RDWR | O_CLOEXEC), folder = open("/", O_RDONLY | O_CLOEXEC);
	assert_true(full >= 0 && folder >= 0);
	assert_int_equal(transfer_out(full, pattern, BYTES, &progress), -ENOSPC);
	assert_int_equal(transfer_stream_out(full, pattern, BYTES, &progress), -ENOSPC);
	assert_int_equal(transfer_in(folder, memory, BYTES, &progress), -EISDIR);
	assert_int_equal(transfer_stream_in(folder, memory, BYTES, &progress), -EISDIR);
	assert_int_equal(transfer_out(folder, pattern, BYTES, &progress), -EBADF);
	assert_int_equal(transfer_in(-1, memory, BYTES, &progress), -EBADF);
	assert_int_equal(progress.done_bytes, 0);
	assert_int_equal(close(full), 0);
	assert_int_equal(close(folder), 0);
}

/* The other end of a pipe. */
struct peer {
	int fd;
	char *bytes;
	size_t len, done;
};

static void *write_all(void *arg)
{
	struct peer *peer = arg;
	for (ssize_t n; peer->done < peer->len; peer->done += (size_t)n)
		if ((n = write(peer->fd, peer->bytes + peer->done, peer->len - peer->done)) <= 0)
			break;
	(void)close(peer->fd);
	return NULL;
}

static void *read_all(void *arg)
{
	struct peer *peer = arg;
	for (ssize_t n; peer->done < peer->len; peer->done += (size_t)n)
		if ((n = read(peer->fd, peer->bytes + peer->done, peer->len - peer->done)) <= 0)
			break;
	(void)close(peer->fd);
	return NULL;
}

static void a_stream_comes_in_until_its_end_or_ours(void **state)
{
	(void)state;
	static const size_t sent[] = {0, 1, BYTES - 1, BYTES};
	for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
		int ends[2];
		pthread_t thread;
		set_up(NULL);
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		struct peer peer = {ends[1], pattern, sent[i], 0};
		assert_int_equal(pthread_create(&thread, NULL, write_all, &peer), 0);
		assert_int_equal(transfer_stream_in(ends[0], memory, BYTES, &progress), sent[i]);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_memory_equal(memory, pattern, sent[i]);
		assert_int_equal(progress.done_bytes, sent[i]);
		assert_int_equal(close(ends[0]), 0);
	}
}

static void a_stream_is_read_from_where_it_stands(void **state)
{
	(void)state;
	int fd = file_with(pattern, 10000);
	assert_int_equal(lseek(fd, 4000, SEEK_SET), 4000);
	assert_int_equal(transfer_stream_in(fd, memory, 5000, &progress), 5000);
	assert_memory_equal(memory, pattern + 4000, 5000);
	assert_int_equal(transfer_stream_in(fd, memory, 5000, &progress), 1000);
	assert_memory_equal(memory, pattern + 9000, 1000);
	assert_int_equal(close(fd), 0);
}

static void memory_goes_to_a_stream_whole(void **state)
{
	(void)state;
	int ends[2];
	pthread_t thread;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct peer peer = {ends[0], memory, BYTES, 0};
	assert_int_equal(pthread_create(&thread, NULL, read_all, &peer), 0);
	assert_int_equal(transfer_stream_out(ends[1], pattern, BYTES, &progress), 0);
	assert_int_equal(close(ends[1]), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(peer.done, BYTES);
	assert_memory_equal(memory, pattern, BYTES);
	assert_int_equal(progress.done_bytes, BYTES);
}

static void a_reader_that_goes_away_is_epipe(void **state)
{
	(void)state;
	int ends[2];
	pthread_t thread;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct peer peer = {ends[0], memory, 5000, 0};
	assert_int_equal(pthread_create(&thread, NULL, read_all, &peer), 0);
	assert_int_equal(transfer_stream_out(ends[1], pattern, BYTES, &progress), -EPIPE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(close(ends[1]), 0);
}

/* In a child: the flag stays. */
static void an_interrupted_transfer_ends(void **state)
{
	(void)state;
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		int fd = file_with(pattern, BYTES);
		cli_catch_signals();
		(void)raise(SIGINT);
		_exit(transfer_in(fd, memory, BYTES, &progress) != -EINTR ||
		      transfer_out(fd, pattern, BYTES, &progress) != -EINTR ||
		      transfer_stream_in(fd, memory, BYTES, &progress) != -EINTR ||
		      transfer_stream_out(fd, pattern, BYTES, &progress) != -EINTR);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define T(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_file_comes_in_whole),
		T(a_file_that_is_shorter_says_where_it_ends),
		T(memory_goes_out_whole),
		T(memory_is_copied_whole),
		T(the_system_s_error_is_the_answer),
		T(a_stream_comes_in_until_its_end_or_ours),
		T(a_stream_is_read_from_where_it_stands),
		T(memory_goes_to_a_stream_whole),
		T(a_reader_that_goes_away_is_epipe),
		T(an_interrupted_transfer_ends),
	};
	(void)signal(SIGPIPE, SIG_IGN); /* as pgmap does */
	return cmocka_run_group_tests(tests, make_memory, free_memory);
}
