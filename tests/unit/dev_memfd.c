/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared memory as a device: sealed, private, allocated before use, given back; new and inherited. */
#include "dev_util.h"

static void a_new_one_is_private_and_sealed(void **state)
{
	(void)state;
	struct dev *dev = open_dev("memfd:size=1M,page=4K");
	struct stat st;
	assert_int_equal(fstat(dev->fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, MIB);
	assert_int_equal(fcntl(dev->fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_WRITE),
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_not_equal(ftruncate(dev->fd, 4096), 0);
	assert_int_not_equal(ftruncate(dev->fd, 2 * MIB), 0);
	assert_int_equal(fcntl(dev->fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(dev->guard_fd, F_GETFD), FD_CLOEXEC);
	assert_true(dev->size_bytes == MIB);
	assert_int_equal(dev->granule_order, 0);
	dev_close(dev);
}

static void auto_says_what_it_chose(void **state)
{
	(void)state;
	struct dev *dev = open_dev("memfd:size=5M"); /* no multiple of any huge page */
	assert_string_equal(dev->spec, "memfd:size=5242880,page=4K");
	dev_close(dev);
	long nfree = read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
	long promised = read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages");
	dev = open_dev("memfd:size=4M,page=auto");
	if (nfree - promised >= 2) {
		assert_string_equal(dev->spec, "memfd:size=4194304,page=2M");
		assert_int_equal(dev->granule_order, 9);
	} else {
		assert_string_equal(dev->spec, "memfd:size=4194304,page=4K");
		assert_int_equal(dev->granule_order, 0);
	}
	dev_close(dev);
}

static void too_few_huge_pages_are_refused_with_numbers(void **state)
{
	(void)state;
	struct dev *dev = NULL;
	char why[DEV_WHY_MAX];
	assert_int_equal(dev_open("memfd:size=4096T,page=2M", &dev, why), -ENOMEM);
	assert_non_null(strstr(why, "needs 2147483648 huge pages of 2M"));
	assert_non_null(strstr(why, "are free"));
	assert_non_null(strstr(why, "hugepages-2048kB/nr_hugepages"));
	assert_int_equal(dev_open("memfd:size=4096T,page=1G", &dev, why), -ENOMEM);
	assert_non_null(strstr(why, "huge pages of 1G"));
	assert_null(dev);
}

static void memory_is_there_after_populate_and_back_after_discard(void **state)
{
	(void)state;
	struct dev *dev = open_dev("memfd:size=1M,page=4K");
	assert_true(allocated_bytes(dev->fd) == 0);
	assert_int_equal(dev->ops->populate(dev, 65536, 131072), 0);
	assert_true(allocated_bytes(dev->fd) == 131072);
	char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	memset(p + 65536, 'x', 131072);
	assert_int_equal(dev->ops->discard(dev, 65536, 65536), 0);
	assert_true(allocated_bytes(dev->fd) == 65536);
	assert_int_equal(p[65536], 0);
	assert_int_equal(p[131071], 0);
	assert_int_equal(p[131072], 'x');
	assert_int_equal(munmap(p, MIB), 0);
	dev_close(dev);
}

static void c6_5_pages_that_are_bad_are_exchanged_for_others(void **state)
{
	(void)state;
	struct dev *dev = open_dev("memfd:size=1M,page=4K");
	assert_int_equal(dev->ops->populate(dev, 0, 65536), 0);
	char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	memset(p, 'x', 65536);
	assert_int_equal(dev->ops->clear_poison(dev, 8192, 4096), 0);
	assert_true(allocated_bytes(dev->fd) == 65536); /* it has memory, and nobody has written to it */
	for (int i = 0; i < 65536; i++)
		assert_int_equal(p[i], i / 4096 == 2 ? 0 : 'x');
	assert_int_equal(dev->ops->clear_poison(dev, 8192, 1), -EOPNOTSUPP); /* a part of a page cannot be */
	assert_int_equal(dev->ops->clear_poison(dev, 1, 4096), -EOPNOTSUPP);
	assert_int_equal(munmap(p, MIB), 0);
	dev_close(dev);
}

/* Where the system has huge pages reserved; the same ops by whole granules. */
static void huge_pages_come_and_go_whole(void **state)
{
	(void)state;
	long nfree = read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
	long promised = read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages");
	struct dev *dev = NULL;
	char why[DEV_WHY_MAX];
	int err = dev_open("memfd:size=4M,page=2M", &dev, why);
	if (nfree - promised < 2) {
		assert_int_equal(err, -ENOMEM);
		return;
	}
	assert_int_equal(err, 0);
	assert_int_equal(dev->granule_order, 9);
	assert_int_equal(dev->ops->populate(dev, 2 * MIB, 2 * MIB), 0);
	assert_int_equal(read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"), nfree - 1);
	assert_int_equal(dev->ops->discard(dev, 2 * MIB, 2 * MIB), 0);
	assert_int_equal(read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"), nfree);
	dev_close(dev);
}

static int memfd_of(off_t bytes, unsigned flags)
{
	int fd = memfd_create("inherited", MFD_CLOEXEC | flags);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, bytes), 0);
	return fd;
}

static int open_fd(int fd, struct dev **dev, char why[DEV_WHY_MAX])
{
	char spec[32];
	(void)snprintf(spec, sizeof(spec), "memfd:fd=%d", fd);
	return dev_open(spec, dev, why);
}

static void an_inherited_one_is_emptied_and_sealed(void **state)
{
	(void)state;
	struct dev *dev = NULL;
	char why[DEV_WHY_MAX], byte;
	int fd = memfd_of(MIB, MFD_ALLOW_SEALING);
	assert_int_equal(pwrite(fd, "old", 3, 4096), 3);
	assert_int_equal(open_fd(fd, &dev, why), 0);
	assert_int_equal(close(fd), 0);
	assert_true(dev->size_bytes == MIB);
	assert_int_equal(dev->granule_order, 0);
	assert_non_null(strstr(dev->spec, ",size=1048576,page=4K"));
	assert_int_equal(pread(dev->fd, &byte, 1, 4096), 1);
	assert_int_equal(byte, 0);
	assert_int_equal(ftruncate(dev->fd, 0), -1);
	dev_close(dev);
}

static void what_is_no_fit_memfd_is_refused_and_left_alone(void **state)
{
	(void)state;
	struct dev *dev = NULL;
	char why[DEV_WHY_MAX];
	assert_int_equal(open_fd(999, &dev, why), -EINVAL);
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(open_fd(fd, &dev, why), -EINVAL);
	assert_non_null(strstr(why, "no memfd"));
	(void)close(fd);
	fd = memfd_of(0, MFD_ALLOW_SEALING);
	assert_int_equal(open_fd(fd, &dev, why), -EINVAL);
	assert_non_null(strstr(why, "not whole pages"));
	(void)close(fd);
	fd = memfd_of(5000, MFD_ALLOW_SEALING);
	assert_int_equal(open_fd(fd, &dev, why), -EINVAL);
	(void)close(fd);
	fd = memfd_of(MIB, 0); /* cannot be sealed: its size could change */
	assert_int_equal(open_fd(fd, &dev, why), -EINVAL);
	assert_non_null(strstr(why, "sealed no more"));
	(void)close(fd);
	fd = memfd_of(MIB, MFD_ALLOW_SEALING);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	assert_int_equal(open_fd(fd, &dev, why), -EINVAL);
	assert_non_null(strstr(why, "cannot be written"));
	(void)close(fd);
	assert_null(dev);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_one_is_private_and_sealed),
		cmocka_unit_test(auto_says_what_it_chose),
		cmocka_unit_test(too_few_huge_pages_are_refused_with_numbers),
		cmocka_unit_test(memory_is_there_after_populate_and_back_after_discard),
		cmocka_unit_test(c6_5_pages_that_are_bad_are_exchanged_for_others),
		cmocka_unit_test(huge_pages_come_and_go_whole),
		cmocka_unit_test(an_inherited_one_is_emptied_and_sealed),
		cmocka_unit_test(what_is_no_fit_memfd_is_refused_and_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
