/* SPDX-License-Identifier: BSD-3-Clause */
/* What all kinds of memory have in common: from the node that was asked for, kept out of swap, and refusals that change
 * nothing. fallocate() is wrapped, to look at the thread's policy while it runs, and to fail. */
#include "dev_util.h"

#include <inttypes.h>
#include <linux/capability.h>
#include <linux/mempolicy.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "dev/memory.h"
#include "dev/node.h"
#include "dev/room.h"

static int policy_then = -1;
static int fail_with; /* an errno for the next call, once */
static unsigned interrupt;

static int policy(void)
{
	int mode = -1;
	unsigned long mask[16] = {0};
	if (syscall(SYS_get_mempolicy, &mode, mask, 1024UL, NULL, 0UL) != 0)
		return -1;
	return mode == MPOL_BIND && mask[0] != 1 ? -1 : mode;
}

int __real_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len)
{
	policy_then = policy();
	if (interrupt && interrupt--) {
		errno = EINTR;
		return -1;
	}
	if (fail_with) {
		errno = fail_with;
		fail_with = 0;
		return -1;
	}
	return __real_fallocate64(fd, mode, offset, len);
}

/* What the system says of its memory, if it is to say something else: files of this name. */
static const char *meminfo_path, *meminfo;
static unsigned looked;

FILE *__real_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode)
{
	if (!meminfo_path || strcmp(path, meminfo_path) != 0)
		return __real_fopen64(path, mode);
	looked++;
	return fmemopen((void *)meminfo, strlen(meminfo), "r");
}

static int populate(struct dev *dev, uint64_t from_mib, uint64_t mib)
{
	return dev->ops->populate(dev, from_mib * MIB, mib * MIB);
}

/* Memory that is promised by nobody is asked for first: in big pieces each time, in small ones now and then. */
static void c7_11_no_memory_left_is_enospc(void **state)
{
	(void)state;
	struct dev *dev = open_dev("memfd:size=4G,page=4K");
	meminfo_path = "/proc/meminfo";
	meminfo = "MemTotal: 9999999 kB\nMemAvailable:   40000 kB\nSwapFree:   50000 kB\n";
	assert_int_equal(populate(dev, 0, 3000), -ENOSPC);
	assert_true(allocated_bytes(dev->fd) == 0);
	assert_int_equal(populate(dev, 0, 80), 0);
	assert_int_equal(looked, 2);
	assert_int_equal(populate(dev, 80, 40), 0);
	assert_int_equal(looked, 2);
	meminfo = "MemAvailable:   20000 kB\nSwapFree:   10000 kB\n";
	assert_int_equal(populate(dev, 120, 40), -ENOSPC);
	assert_int_equal(populate(dev, 120, 30), -ENOSPC); /* it looks until there is some */
	assert_int_equal(looked, 4);
	assert_int_equal(populate(dev, 120, 29), 0);
	assert_true(allocated_bytes(dev->fd) == 149 * (uint64_t)MIB);
	meminfo = "no such lines\n";
	assert_int_equal(populate(dev, 0, 149), 0);
	dev_close(dev);
	meminfo_path = NULL;
}

static void c7_11_what_others_have_begun_to_take_is_not_there(void **state)
{
	(void)state;
	struct room room = {0};
	meminfo_path = "/proc/meminfo";
	meminfo = "MemAvailable:   102400 kB\nSwapFree:   0 kB\n";
	assert_true(room_begin(&room, 60 * (uint64_t)MIB, NODE_ANY, true));
	assert_false(room_begin(&room, 41 * (uint64_t)MIB, NODE_ANY, true));
	assert_true(room_begin(&room, 40 * (uint64_t)MIB, NODE_ANY, true));
	room_end(&room, 60 * (uint64_t)MIB);
	assert_true(room_begin(&room, 60 * (uint64_t)MIB, NODE_ANY, true));
	meminfo_path = NULL;
}

static void c7_11_swap_is_no_memory_for_what_is_locked(void **state)
{
	(void)state;
	struct dev *dev = open_dev("memfd:size=256M,page=4K,lock");
	meminfo_path = "/proc/meminfo";
	meminfo = "MemAvailable:   70000 kB\nSwapFree:   50000 kB\n";
	assert_int_equal(populate(dev, 0, 80), -ENOSPC);
	assert_int_equal(populate(dev, 0, 65), 0);
	dev_close(dev);
	meminfo_path = NULL;
}

static void c7_11_a_nodes_memory_is_its_own(void **state)
{
	(void)state;
	struct dev *dev = open_dev("memfd:size=256M,page=4K,node=0");
	meminfo_path = "/sys/devices/system/node/node0/meminfo";
	meminfo = "\nNode 0 MemTotal: 9999999 kB\nNode 0 MemFree: 50000 kB\nNode 0 Active(file): 20000 kB\n"
		  "Node 0 Inactive(file): 10000 kB\nNode 0 Shmem: 9999999 kB\n";
	assert_int_equal(populate(dev, 0, 80), -ENOSPC);
	assert_int_equal(populate(dev, 0, 78), 0);
	dev_close(dev);
	meminfo_path = NULL;
}

static void c7_11_memory_comes_from_the_devices_node(void **state)
{
	(void)state;
	struct dev *dev = open_dev("memfd:size=1M,page=4K,node=0");
	assert_string_equal(dev->spec, "memfd:size=1048576,page=4K,node=0");
	policy_then = -1;
	assert_int_equal(dev->ops->populate(dev, 0, 65536), 0);
	assert_int_equal(policy_then, MPOL_BIND);
	assert_int_equal(policy(), MPOL_DEFAULT);
	fail_with = ENOSPC;
	assert_int_equal(dev->ops->populate(dev, 65536, 65536), -ENOSPC);
	assert_int_equal(policy(), MPOL_DEFAULT); /* also after a failure */
	dev_close(dev);
	dev = open_dev("memfd:size=1M,page=4K");
	assert_int_equal(dev->ops->populate(dev, 0, 65536), 0);
	assert_int_equal(policy_then, MPOL_DEFAULT);
	dev_close(dev);
	assert_refused("memfd:size=1M,page=4K,node=1000", -EINVAL, "node=1000: this process may have no memory");
}

static void c7_11_whatever_is_short_is_enospc(void **state)
{
	(void)state;
	static const int errors[] = {ENOMEM, ENOSPC, EDQUOT};
	struct dev *dev = open_dev("memfd:size=1M,page=4K");
	for (int i = 0; i < 3; i++) {
		fail_with = errors[i];
		assert_int_equal(dev->ops->populate(dev, 0, 65536), -ENOSPC);
		assert_true(allocated_bytes(dev->fd) == 0);
	}
	fail_with = EIO;
	assert_int_equal(dev->ops->populate(dev, 0, 65536), -EIO);
	interrupt = 3;
	assert_int_equal(dev->ops->populate(dev, 0, 65536), 0);
	assert_true(allocated_bytes(dev->fd) == 65536);
	dev_close(dev);
}

/* A line "NAME: N kB" of the mapping at this address. */
static long smaps(const void *at, const char *name)
{
	char line[256], start[40];
	bool inside = false;
	long kib = -1;
	FILE *f = fopen("/proc/self/smaps", "re");
	assert_non_null(f);
	(void)snprintf(start, sizeof(start), "%" PRIxPTR "-", (uintptr_t)at);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, start, strlen(start)) == 0)
			inside = true;
		else if (inside && strncmp(line, name, strlen(name)) == 0) {
			kib = strtol(line + strlen(name) + 1, NULL, 10);
			break;
		}
	}
	assert_int_equal(fclose(f), 0);
	return kib;
}

/* Of the page cache the kernel maps more than it is asked for; all of it is locked. */
static void lock_holds_what_was_allocated(const char *spec, bool exactly)
{
	struct dev *dev = open_dev(spec);
	const void *at = ((struct memory *)dev)->locked;
	assert_non_null(at);
	assert_non_null(strstr(dev->spec, ",lock"));
	assert_int_equal(smaps(at, "Rss:"), 0);
	for (int round = 0; round < 2; round++) { /* also after a hole was punched */
		assert_int_equal(dev->ops->populate(dev, 65536, 131072), 0);
		assert_true(exactly ? smaps(at, "Rss:") == 128 : smaps(at, "Rss:") >= 128);
		assert_int_equal(smaps(at, "Locked:"), smaps(at, "Pss:"));
		assert_int_equal(dev->ops->discard(dev, 65536, 65536), 0);
		assert_true(exactly ? smaps(at, "Rss:") == 64 : smaps(at, "Rss:") >= 64);
		assert_int_equal(dev->ops->discard(dev, 0, dev->size_bytes), 0);
		assert_int_equal(smaps(at, "Rss:"), 0);
	}
	dev_close(dev);
	assert_int_equal(smaps(at, "Rss:"), -1);
}

static void lock_holds_memory_that_was_allocated_and_only_that(void **state)
{
	(void)state;
	lock_holds_what_was_allocated("memfd:size=1M,page=4K,lock", true);
}

static void lock_holds_pages_of_a_file(void **state)
{
	(void)state;
	lock_holds_what_was_allocated("file:./dev_memory.pool,size=1M,create,lock", false);
	assert_int_equal(unlink("./dev_memory.pool"), 0);
}

/* This process may lock 1 MiB, and has no capability that says otherwise. */
static int with_little_to_lock(void)
{
	struct rlimit limit = {.rlim_cur = MIB, .rlim_max = MIB};
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2];
	struct dev *dev = NULL;
	char why[DEV_WHY_MAX];
	if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || syscall(SYS_capget, &head, caps) != 0)
		return 2;
	caps[0].effective &= ~(1U << CAP_IPC_LOCK);
	if (syscall(SYS_capset, &head, caps) != 0)
		return 3;
	if (!is_refused("memfd:size=2M,page=4K,lock", -ENOMEM,
			"lock needs 2097152 bytes of locked memory, this process may have 1048576"))
		return 4;
	if (!is_refused("file:./dev_memory.pool,size=2M,create,lock", -ENOMEM, "ulimit -l") ||
	    access("./dev_memory.pool", F_OK) == 0)
		return 5;
	limit.rlim_cur = 0;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || !is_refused("memfd:size=4K,page=4K,lock", -EPERM, "may have 0 "))
		return 6;
	limit.rlim_cur = MIB;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || dev_open("memfd:size=1M,page=4K,lock", &dev, why) != 0)
		return 7;
	dev_close(dev);
	return 0;
}

static void lock_beyond_the_limit_is_refused_with_the_numbers(void **state)
{
	(void)state;
	assert_int_equal(in_child(with_little_to_lock), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c7_11_memory_comes_from_the_devices_node),
		cmocka_unit_test(c7_11_whatever_is_short_is_enospc),
		cmocka_unit_test(c7_11_no_memory_left_is_enospc),
		cmocka_unit_test(c7_11_what_others_have_begun_to_take_is_not_there),
		cmocka_unit_test(c7_11_swap_is_no_memory_for_what_is_locked),
		cmocka_unit_test(c7_11_a_nodes_memory_is_its_own),
		cmocka_unit_test(lock_holds_memory_that_was_allocated_and_only_that),
		cmocka_unit_test(lock_holds_pages_of_a_file),
		cmocka_unit_test(lock_beyond_the_limit_is_refused_with_the_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
