/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * limits.c - what the machine itself costs: the floor under each figure. Each does the same work around the measured
 * operation (random numbers, the window, the loop) as the subject that it is compared with.
 */
#include "subject.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"

static uint64_t count;
static uint64_t amount; /* the subject's argument */
static _Atomic uint64_t one_word = 1;
static _Atomic uint64_t *words;

static double per_operation(void (*batch)(uint64_t n))
{
	uint64_t start = now_ns();
	batch(count);
	return (double)(now_ns() - start) / (double)count;
}

/* A held reference: one lock-add pair on one word. */
static void pair_batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		atomic_fetch_add_explicit(&one_word, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&one_word, 1, memory_order_acq_rel);
	}
}

static void pair_prepare(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	count = subject_calibrate(pair_batch);
}

static double pair_round(void)
{
	return per_operation(pair_batch);
}

/*
 * A request and a put of a random member of a window: two lock-add pairs on the words of that window. The owner's part
 * (who is at which place, and which place is spare) is that of core.c's window, so that both pay for it.
 */
static _Atomic uint64_t **handles;
static uint64_t *places;
static uint64_t spare;

static void two_pairs_batch(uint64_t n)
{
	static struct rng rng = RNG_SEED;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t slot = rng_below(&rng, amount);
		uint64_t place = spare;
		_Atomic uint64_t *fresh = &words[place];
		atomic_fetch_add_explicit(fresh, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(fresh, 1, memory_order_acq_rel);
		atomic_fetch_add_explicit(handles[slot], 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(handles[slot], 1, memory_order_acq_rel);
		spare = places[slot];
		places[slot] = place;
		handles[slot] = fresh;
	}
}

static void two_pairs_prepare(int argc, char **argv)
{
	amount = subject_number(argc, argv, 0);
	words = calloc(amount + 1, sizeof(*words));
	handles = calloc(amount, sizeof(*handles));
	places = calloc(amount, sizeof(*places));
	if (!words || !handles || !places)
		subject_fail("no memory for %lu words", (unsigned long)amount);
	spare = amount;
	for (uint64_t i = 0; i < amount; i++) {
		handles[i] = &words[i];
		places[i] = i;
	}
	count = subject_calibrate(two_pairs_batch);
}

static double two_pairs_round(void)
{
	return per_operation(two_pairs_batch);
}

/* What a pgmap of `amount` GiB reserves: a word per 4 KiB, 2 MiB and 1 GiB; as one mapping. */
static void reserve_batch(uint64_t n)
{
	size_t bytes = amount * 8 * ((1 << 18) + (1 << 9) + 1);
	for (uint64_t i = 0; i < n; i++) {
		void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED)
			subject_fail("mmap of %zu bytes: %s", bytes, strerror(errno));
		munmap(p, bytes);
	}
}

static void reserve_prepare(int argc, char **argv)
{
	amount = subject_number(argc, argv, 0);
	count = subject_calibrate(reserve_batch);
}

static double reserve_round(void)
{
	return per_operation(reserve_batch);
}

/* One socket round trip, with a process that does nothing else: what each pin costs where pins are messages. */
enum { MESSAGE_BYTES = 128 };
static int echo_fd = -1;

static void echo_start(void)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		subject_fail("socketpair: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0)
		subject_fail("fork: %s", strerror(errno));
	if (pid == 0) {
		char message[MESSAGE_BYTES];
		close(pair[0]);
		bench_use_other_cpu();
		while (recv(pair[1], message, sizeof(message), 0) > 0 && send(pair[1], message, sizeof(message), 0) > 0)
			;
		_exit(0);
	}
	close(pair[1]);
	echo_fd = pair[0];
}

static void round_trip(void)
{
	char message[MESSAGE_BYTES] = {0};
	if (send(echo_fd, message, sizeof(message), 0) < 0 || recv(echo_fd, message, sizeof(message), 0) <= 0)
		subject_fail("the echo has gone: %s", strerror(errno));
}

static void round_trip_batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		round_trip();
}

static void round_trip_prepare(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	echo_start();
	count = subject_calibrate(round_trip_batch);
}

static double round_trip_round(void)
{
	return per_operation(round_trip_batch);
}

/* A bare map, touch and unmap of `amount` MiB: what using a file must cost. With two round trips: if another process has it. */
static struct bench_memory memory;

static void bare_map(void)
{
	char *p = mmap(NULL, memory.bytes, PROT_READ, MAP_SHARED, memory.fd, 0);
	if (p == MAP_FAILED)
		subject_fail("mmap: %s", strerror(errno));
	keep((void *)(uintptr_t)(unsigned char)*(volatile char *)p);
	munmap(p, memory.bytes);
}

static void map_batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		round_trip();
		bare_map();
		round_trip();
	}
}

/* As whoever has made a file uses it. */
static void bare_use(void)
{
	char *p = mmap(NULL, memory.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd, 0);
	if (p == MAP_FAILED)
		subject_fail("mmap: %s", strerror(errno));
	*(volatile char *)p = 1;
	munmap(p, memory.bytes);
}

static void use_batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		bare_use();
}

static void far_use_batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		round_trip();
		bare_use();
		round_trip();
	}
}

static void use_prepare(int argc, char **argv)
{
	bench_memory_make(&memory, subject_number(argc, argv, 0) << 20, subject_number(argc, argv, 1));
	count = subject_calibrate(use_batch);
}

static double use_round(void)
{
	return per_operation(use_batch);
}

static void far_use_prepare(int argc, char **argv)
{
	bench_memory_make(&memory, subject_number(argc, argv, 0) << 20, subject_number(argc, argv, 1));
	echo_start();
	count = subject_calibrate(far_use_batch);
}

static double far_use_round(void)
{
	return per_operation(far_use_batch);
}

static void map_prepare(int argc, char **argv)
{
	bench_memory_make(&memory, subject_number(argc, argv, 0) << 20, subject_number(argc, argv, 1));
	echo_start();
	count = subject_calibrate(map_batch);
}

static double map_round(void)
{
	return per_operation(map_batch);
}

/* A peer: the same file of the system opened, mapped, touched, unmapped and closed. */
static void file_map_batch(uint64_t n)
{
	char path[64];
	int kept = memory.fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", kept);
	for (uint64_t i = 0; i < n; i++) {
		memory.fd = open(path, O_RDONLY | O_CLOEXEC);
		if (memory.fd < 0)
			subject_fail("open %s: %s", path, strerror(errno));
		bare_map();
		close(memory.fd);
	}
	memory.fd = kept;
}

static void file_map_prepare(int argc, char **argv)
{
	bench_memory_make(&memory, subject_number(argc, argv, 0) << 20, subject_number(argc, argv, 1));
	count = subject_calibrate(file_map_batch);
}

static double file_map_round(void)
{
	return per_operation(file_map_batch);
}

/* Random dependent reads over `amount` MiB of bare memory of that page size. */
static void *reads;

static void read_batch(uint64_t n)
{
	bench_random_reads(reads, memory.bytes, n);
}

static void read_prepare(int argc, char **argv)
{
	bench_memory_make(&memory, subject_number(argc, argv, 0) << 20, subject_number(argc, argv, 1));
	reads = mmap(NULL, memory.bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, memory.fd, 0);
	if (reads == MAP_FAILED)
		subject_fail("mmap: %s", strerror(errno));
	count = subject_calibrate(read_batch);
}

static double read_round(void)
{
	return per_operation(read_batch);
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {
		{"pair", "", pair_prepare, pair_round},
		{"two_pairs", "WORDS", two_pairs_prepare, two_pairs_round},
		{"reserve", "GIB", reserve_prepare, reserve_round},
		{"round_trip", "", round_trip_prepare, round_trip_round},
		{"map", "MIB PAGE_KIB", map_prepare, map_round},
		{"use", "MIB PAGE_KIB", use_prepare, use_round},
		{"far_use", "MIB PAGE_KIB", far_use_prepare, far_use_round},
		{"file_map", "MIB PAGE_KIB", file_map_prepare, file_map_round},
		{"read", "MIB PAGE_KIB", read_prepare, read_round},
		{0},
	};
	return subject_main(argc, argv, table);
}
