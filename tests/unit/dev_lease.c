/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lease lasts exactly as long as some process can reach the device by it (c7.2, c7.3), however the mapping travelled; on
 * every kind of device.
 *
 * Every case: a child takes the lease to some corner and says so on a pipe; the parent finds the byte taken; the child
 * lets go, or dies; dev_lease_wait() returns and the byte is free. Pipes and waitpid are the only clock.
 */
#include "dev_fd.h"
#include "dev_util.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

enum { BYTE = 7, DEV_PAGES = 32, MANY = 20000, THREADS = DEV_PAGES };

/* Of DEV_PAGES pages each. again opens them again: null, the descriptor, as a memfd. folder: where a file's folder is made. */
static const struct {
	const char *name, *spec, *again, *folder;
} devices[] = {
	{"memfd", "memfd:size=128K,page=4K", NULL, NULL},
	{"hugetlb", "hugetlb:size=64M,page=2M", NULL, NULL},
	{"file here", "file:pool,size=128K,create", "file:pool,overwrite", "."},
	{"file on tmpfs", "file:pool,size=128K,create", "file:pool,overwrite", "/dev/shm"},
};
static unsigned device; /* the one in hand */
static size_t page_bytes;
static char folder[64]; /* of the device in hand, if it is a file: the working directory */
static int came_from;

static struct dev *the_dev;
static int up[2], down[2]; /* child to parent, parent to child */

/* Below: what children do. A child that finds something wrong says 'x'. */

static void say(char word)
{
	if (write(up[1], &word, 1) != 1)
		_exit(3);
}

static void await(void)
{
	char word;
	if (read(down[0], &word, 1) != 1)
		_exit(4);
}

static void *map_page(int fd, unsigned page)
{
	void *p = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(page * page_bytes));
	if (p == MAP_FAILED) {
		say('x');
		_exit(5);
	}
	return p;
}

static char hear(void)
{
	char word = 0;
	assert_int_equal(read(up[0], &word, 1), 1);
	return word;
}

static void tell(void)
{
	assert_int_equal(write(down[1], "g", 1), 1);
}

static void assert_held(void)
{
	assert_int_equal(dev_lease_probe(the_dev, BYTE), 0);
}

static void assert_gone(void)
{
	assert_int_equal(dev_lease_wait(the_dev, BYTE), 0);
	assert_int_equal(dev_lease_probe(the_dev, BYTE), 1);
}

static void reap(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* A child has neither the server's descriptors, nor the pipe ends that would keep it waiting for a dead parent. */
static void leave_the_parents_behind(void)
{
	(void)close(the_dev->fd);
	(void)close(the_dev->guard_fd);
	(void)close(up[0]);
	(void)close(down[1]);
}

/* A child that has the lease's only descriptor, and runs body. */
static pid_t child_with_lease(void (*body)(int lease))
{
	int lease = dev_open_lease(the_dev, BYTE, true);
	assert_true(lease >= 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		leave_the_parents_behind();
		body(lease);
		_exit(0);
	}
	assert_int_equal(close(lease), 0);
	return pid;
}

static int open_all(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX];
	if (devices[device].folder) {
		(void)snprintf(folder, sizeof(folder), "%s/pgmap-test-XXXXXX", devices[device].folder);
		assert_non_null(mkdtemp(folder));
		assert_true((came_from = open(".", O_PATH | O_CLOEXEC)) >= 0);
		assert_int_equal(chdir(folder), 0);
	}
	if (dev_open(devices[device].spec, &the_dev, why) != 0) {
		(void)fprintf(stderr, "%s: %s\n", devices[device].spec, why);
		return 1;
	}
	page_bytes = PGMAP_PAGE_SIZE << the_dev->granule_order;
	return pipe2(up, O_CLOEXEC) || pipe2(down, O_CLOEXEC);
}

static int close_all(void **state)
{
	(void)state;
	dev_close(the_dev);
	if (devices[device].folder) {
		assert_int_equal(unlink("pool"), 0);
		assert_int_equal(fchdir(came_from), 0);
		assert_int_equal(close(came_from), 0);
		assert_int_equal(rmdir(folder), 0);
	}
	return close(up[0]) | close(up[1]) | close(down[0]) | close(down[1]);
}

static void c7_2_nothing_held_is_nothing_to_wait_for(void **state)
{
	(void)state;
	assert_gone();
	int lease = dev_open_lease(the_dev, BYTE, true);
	assert_held();
	assert_int_equal(dev_lease_probe(the_dev, BYTE + 1), 1); /* a neighbour's byte is its own */
	assert_int_equal(close(lease), 0);
	assert_gone();
	assert_int_equal(dev_open_lease(the_dev, 0, true), -EINVAL);
	assert_int_equal(dev_open_lease(the_dev, (UINT64_C(1) << 62) + 1, true), -EINVAL);
	assert_int_equal(dev_lease_probe(the_dev, 0), -EINVAL);
	assert_int_equal(dev_lease_wait(the_dev, 0), -EINVAL);
	lease = dev_open_lease(the_dev, UINT64_C(1) << 62, true);
	assert_true(lease >= 0);
	assert_int_equal(fcntl(lease, F_GETFD), FD_CLOEXEC);
	assert_int_equal(dev_lease_probe(the_dev, UINT64_C(1) << 62), 0);
	assert_int_equal(close(lease), 0);
}

static void map_then_close(int lease)
{
	void *p = map_page(lease, 0);
	(void)close(lease);
	say('m');
	await();
	(void)munmap(p, page_bytes);
	say('u');
	await();
}

static void c7_2_a_mapping_without_descriptor_keeps_it(void **state)
{
	(void)state;
	pid_t pid = child_with_lease(map_then_close);
	assert_int_equal(hear(), 'm');
	assert_held();
	tell();
	assert_int_equal(hear(), 'u');
	assert_gone(); /* the process still lives: it is the mapping that counts */
	tell();
	reap(pid);
}

static void fork_then_close(int lease)
{
	void *p = map_page(lease, 0);
	(void)close(lease);
	pid_t pid = fork();
	if (pid == 0) {
		*(volatile char *)p = 1;
		say('m');
		await();
		_exit(0);
	}
}

static void c7_3_a_forked_childs_mapping_keeps_it(void **state)
{
	(void)state;
	pid_t pid = child_with_lease(fork_then_close);
	reap(pid);
	assert_int_equal(hear(), 'm');
	assert_held(); /* the parent of that mapping is gone and reaped */
	tell();
	assert_gone();
}

static void close_everything(int lease)
{
	(void)map_page(lease, 0);
	if (dup2(down[0], 0) != 0 || dup2(up[1], 1) != 1 || syscall(SYS_close_range, 3U, ~0U, 0U) != 0)
		_exit(6);
	down[0] = 0;
	up[1] = 1;
	say('m');
	await();
}

static void c7_2_close_range_does_not_end_it(void **state)
{
	(void)state;
	pid_t pid = child_with_lease(close_everything);
	assert_int_equal(hear(), 'm');
	assert_held();
	tell();
	reap(pid);
	assert_gone();
}

static int sockets[2];

static void send_on(int lease)
{
	send_fd(sockets[0], lease);
}

static void c7_3_a_descriptor_sent_on_keeps_it(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	pid_t stranger = fork();
	assert_true(stranger >= 0);
	if (stranger == 0) {
		leave_the_parents_behind();
		int lease = receive_fd(sockets[1]);
		(void)map_page(lease, 1);
		(void)close(lease);
		say('m');
		await();
		_exit(0);
	}
	reap(child_with_lease(send_on));
	assert_int_equal(hear(), 'm');
	assert_held();
	tell();
	reap(stranger);
	assert_gone();
	(void)close(sockets[0]);
	(void)close(sockets[1]);
}

static void c7_3_a_descriptor_in_flight_keeps_it(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	reap(child_with_lease(send_on));
	assert_held(); /* no process has it: it waits in the socket */
	assert_int_equal(close(sockets[1]), 0);
	assert_int_equal(close(sockets[0]), 0);
	assert_gone();
}

static void *touch_for_ever(void *arg)
{
	for (volatile char *p = arg;; sched_yield())
		(*p)++;
	return NULL;
}

static void many_threads(int lease)
{
	for (int i = 0; i < THREADS; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, touch_for_ever, map_page(lease, (unsigned)i)) != 0)
			_exit(9);
	}
	(void)close(lease);
	say('m');
	await();
}

static void c7_2_sigkill_with_many_threads_ends_it(void **state)
{
	(void)state;
	pid_t pid = child_with_lease(many_threads);
	assert_int_equal(hear(), 'm');
	assert_held();
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_gone(); /* not reaped yet: the answer does not need its parent */
	reap(pid);
}

static void many_mappings(int lease)
{
	static void *at[MANY];
	for (int i = 0; i < MANY; i++) /* neighbours in memory are not neighbours in the file: no two merge */
		at[i] = map_page(lease, (unsigned)i * 3 % DEV_PAGES);
	(void)close(lease);
	say('m');
	await();
	for (int i = 1; i < MANY; i++)
		(void)munmap(at[i], page_bytes);
	say('1');
	await();
	(void)munmap(at[0], page_bytes);
	say('u');
	await();
}

static void c7_2_the_last_of_20000_mappings_ends_it(void **state)
{
	(void)state;
	pid_t pid = child_with_lease(many_mappings);
	assert_int_equal(hear(), 'm');
	assert_held();
	tell();
	assert_int_equal(hear(), '1');
	assert_held();
	tell();
	assert_int_equal(hear(), 'u');
	assert_gone();
	tell();
	reap(pid);
}

static void stray_close(int lease)
{
	char path[40];
	(void)map_page(lease, 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", lease);
	(void)close(open(path, O_RDWR | O_CLOEXEC)); /* another descriptor of the same file */
	(void)close(dup(lease));
	(void)close(lease);
	say('m');
	await();
}

static void c7_2_a_stray_close_does_not_end_it(void **state)
{
	(void)state;
	pid_t pid = child_with_lease(stray_close);
	assert_int_equal(hear(), 'm');
	assert_held();
	tell();
	reap(pid);
	assert_gone();
}

/* The control of the case above: with the traditional lock, the same close loses it while the mapping is there. */
static void traditional_lock(int lease)
{
	struct flock none = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = BYTE, .l_len = 1};
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = BYTE, .l_len = 1};
	if (fcntl(lease, F_OFD_SETLK, &none) != 0 || fcntl(lease, F_SETLK, &lock) != 0)
		_exit(10);
	say('t');
	await();
	stray_close(lease);
}

static void control_a_traditional_lock_is_lost_by_a_stray_close(void **state)
{
	(void)state;
	pid_t pid = child_with_lease(traditional_lock);
	assert_int_equal(hear(), 't');
	assert_held();
	tell();
	assert_int_equal(hear(), 'm');
	assert_int_equal(dev_lease_probe(the_dev, BYTE), 1); /* still mapped, and the lock is gone */
	tell();
	reap(pid);
}

static int sharer(void *arg)
{
	volatile char *mapped = arg;
	say('m');
	await();
	*mapped = 1; /* the address space is all there */
	return 0;
}

/* Its own descriptors, but this address space; it outlives its creator. */
static void share_memory_only(int lease)
{
	size_t stack_bytes = 256 * 1024;
	char *stack = mmap(NULL, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *p = map_page(lease, 0);
	(void)close(lease);
	if (stack == MAP_FAILED || clone(sharer, stack + stack_bytes, CLONE_VM | SIGCHLD, p) < 0)
		_exit(11);
	(void)syscall(SYS_kill, getpid(), SIGKILL);
}

static void c7_3_another_process_with_the_address_space_keeps_it(void **state)
{
	(void)state;
	pid_t pid = child_with_lease(share_memory_only);
	reap(pid);
	assert_int_equal(hear(), 'm');
	assert_held();
	tell();
	assert_gone();
}

/* A spec that opens the device of this descriptor again. */
static const char *spec_again(int fd)
{
	static char spec[32];
	if (devices[device].again)
		return devices[device].again;
	(void)snprintf(spec, sizeof(spec), "memfd:fd=%d", fd);
	return spec;
}

static void c7_12_a_second_server_is_refused(void **state)
{
	(void)state;
	struct dev *second = NULL;
	char why[DEV_WHY_MAX];
	char *bytes = map_page(the_dev->fd, 0);
	bytes[0] = 'k';
	assert_int_equal(dev_open(spec_again(the_dev->fd), &second, why), -EBUSY);
	assert_non_null(strstr(why, "another server has it"));
	assert_int_equal(bytes[0], 'k');
	assert_int_equal(munmap(bytes, page_bytes), 0);
}

/* The last one: what it leaves is the successor's device. */
static void c7_12_a_successor_waits_for_the_clients_of_the_dead(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX];
	int fd = dup(the_dev->fd);
	assert_true(fd >= 0);
	char *bytes = map_page(fd, 0);
	bytes[0] = 'k';
	pid_t pid = child_with_lease(map_then_close);
	assert_int_equal(hear(), 'm');
	dev_close(the_dev); /* the server's death */
	assert_int_equal(dev_open(spec_again(fd), &the_dev, why), -EBUSY);
	assert_non_null(strstr(why, "dead server still map it"));
	assert_int_equal(bytes[0], 'k'); /* not touched */
	tell();
	assert_int_equal(hear(), 'u');
	tell();
	reap(pid);
	assert_int_equal(dev_open(spec_again(fd), &the_dev, why), 0);
	assert_int_equal(bytes[0], 0);
	assert_int_equal(munmap(bytes, page_bytes), 0);
	assert_int_equal(close(fd), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c7_2_nothing_held_is_nothing_to_wait_for),
		cmocka_unit_test(c7_2_a_mapping_without_descriptor_keeps_it),
		cmocka_unit_test(c7_3_a_forked_childs_mapping_keeps_it),
		cmocka_unit_test(c7_2_close_range_does_not_end_it),
		cmocka_unit_test(c7_3_a_descriptor_sent_on_keeps_it),
		cmocka_unit_test(c7_3_a_descriptor_in_flight_keeps_it),
		cmocka_unit_test(c7_2_sigkill_with_many_threads_ends_it),
		cmocka_unit_test(c7_2_the_last_of_20000_mappings_ends_it),
		cmocka_unit_test(c7_2_a_stray_close_does_not_end_it),
		cmocka_unit_test(control_a_traditional_lock_is_lost_by_a_stray_close),
		cmocka_unit_test(c7_3_another_process_with_the_address_space_keeps_it),
		cmocka_unit_test(c7_12_a_second_server_is_refused),
		cmocka_unit_test(c7_12_a_successor_waits_for_the_clients_of_the_dead),
	};
	int failed = 0;
	for (device = 0; device < sizeof(devices) / sizeof(devices[0]); device++)
		failed |= cmocka_run_group_tests_name(devices[device].name, tests, open_all, close_all);
	return failed;
}
