/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Huge pages that are promised before the pool begins. Of 2 MiB some must be reserved in the system (scripts/with-hugepages).
 * With the argument "1G" the same tests run on pages of 1 GiB: one is reserved for as long, which needs root and 1 GiB of
 * contiguous memory; where it is not to be had, they are skipped.
 */
#include "dev_util.h"

#include <inttypes.h>
#include <sys/statfs.h>

static uint64_t page_bytes = 2 * MIB;
static const char *page = "2M";

static long pages(const char *what)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/%s", page_bytes >> 10,
		       what);
	return read_number(path);
}

static const char *spec_of(long npages, const char *args)
{
	static char spec[128];
	(void)snprintf(spec, sizeof(spec), "hugetlb:size=%" PRIu64 ",page=%s%s", (uint64_t)npages * page_bytes, page,
		       args);
	return spec;
}

/* What others may still have. */
static long unpromised(void)
{
	return pages("free_hugepages") - pages("resv_hugepages");
}

static void bad_specs_are_refused(void **state)
{
	(void)state;
	assert_refused("hugetlb", -EINVAL, "no size= given");
	assert_refused("hugetlb:page=2M", -EINVAL, "no size= given");
	assert_refused("hugetlb:size=2M", -EINVAL, "no page=2M or page=1G given");
	assert_refused("hugetlb:size=2M,page=4K", -EINVAL, "page=4K is not 2M or 1G");
	assert_refused("hugetlb:size=2M,page=auto", -EINVAL, "page=auto is not 2M or 1G");
	assert_refused("hugetlb:size=3M,page=2M", -EINVAL, "not a multiple of the page, 2M");
	assert_refused("hugetlb:size=3G,page=1G,fd=3", -EINVAL, "unknown key 'fd' (known: size, node, lock, page)");
}

static void it_is_private_sealed_and_of_huge_pages(void **state)
{
	(void)state;
	struct dev *dev = open_dev(spec_of(1, ",lock"));
	struct stat st;
	struct statfs fs;
	assert_int_equal(fstat(dev->fd, &st), 0);
	assert_int_equal(fstatfs(dev->fd, &fs), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true((uint64_t)st.st_size == page_bytes);
	assert_true((uint64_t)fs.f_bsize == page_bytes);
	assert_true(PGMAP_PAGE_SIZE << dev->granule_order == page_bytes);
	assert_int_not_equal(ftruncate(dev->fd, 0), 0);
	assert_non_null(strstr(dev->spec, page));
	dev_close(dev);
}

static void all_its_pages_are_promised_until_it_closes(void **state)
{
	(void)state;
	long before = unpromised(), nfree = pages("free_hugepages");
	struct dev *dev = open_dev(spec_of(1, ""));
	assert_int_equal(unpromised(), before - 1);
	assert_int_equal(pages("free_hugepages"), nfree); /* promised, not taken */
	dev_close(dev);
	assert_int_equal(unpromised(), before);
}

static void more_than_there_are_is_refused_and_leaves_no_promise(void **state)
{
	(void)state;
	long before = unpromised();
	char words[64];
	(void)snprintf(words, sizeof(words), "needs %ld huge pages of %s, %ld are free", before + 1, page, before);
	assert_refused(spec_of(before + 1, ""), -ENOMEM, words);
	assert_refused(spec_of(before + 1, ",node=0"), -ENOMEM, "/sys/devices/system/node/node0/hugepages");
	assert_refused(spec_of(1, ",node=1000"), -EINVAL, "not on this node (/sys/devices/system/node/node1000/");
	assert_int_equal(unpromised(), before);
}

/* As others see it, what this device may use is never free: not after a hole was punched either. */
static void c7_11_a_hole_keeps_its_promise(void **state)
{
	(void)state;
	long others = unpromised() - 1, nfree = pages("free_hugepages");
	struct dev *dev = open_dev(spec_of(1, ",node=0"));
	char *at = map_all(dev);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(unpromised(), others);
		assert_int_equal(dev->ops->populate(dev, 0, page_bytes), 0);
		assert_int_equal(pages("free_hugepages"), nfree - 1);
		assert_int_equal(unpromised(), others);
		assert_int_equal(at[0] | at[page_bytes - 1], 0);
		memset(at, 'x', page_bytes);
		assert_int_equal(dev->ops->discard(dev, 0, page_bytes), 0);
		assert_int_equal(pages("free_hugepages"), nfree);
	}
	assert_int_equal(munmap(at, page_bytes), 0);
	dev_close(dev);
	assert_int_equal(unpromised(), others + 1);
}

/* The other kind looks, and promises nothing: taken away from under it, populate says so, and nothing dies of it. */
static void c7_11_a_memfd_of_huge_pages_can_find_them_gone(void **state)
{
	(void)state;
	char spec[64];
	(void)snprintf(spec, sizeof(spec), "memfd:size=%" PRIu64 ",page=%s", page_bytes, page);
	long all = unpromised();
	struct dev *memfd = open_dev(spec);
	struct dev *dev = open_dev(spec_of(all, ""));
	assert_int_equal(memfd->ops->populate(memfd, 0, page_bytes), -ENOSPC);
	assert_true(allocated_bytes(memfd->fd) == 0);
	assert_int_equal(dev->ops->populate(dev, 0, dev->size_bytes), 0);
	dev_close(dev);
	assert_int_equal(memfd->ops->populate(memfd, 0, page_bytes), 0);
	dev_close(memfd);
}

static int gigantic(long n)
{
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "we");
	if (!f)
		return -1;
	int bad = fprintf(f, "%ld\n", n) < 0;
	return fclose(f) != 0 || bad ? -1 : 0;
}

static int run(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_specs_are_refused),
		cmocka_unit_test(it_is_private_sealed_and_of_huge_pages),
		cmocka_unit_test(all_its_pages_are_promised_until_it_closes),
		cmocka_unit_test(more_than_there_are_is_refused_and_leaves_no_promise),
		cmocka_unit_test(c7_11_a_hole_keeps_its_promise),
		cmocka_unit_test(c7_11_a_memfd_of_huge_pages_can_find_them_gone),
	};
	return cmocka_run_group_tests_name(page, tests, NULL, NULL);
}

static int run_gigantic(void)
{
	enum { SKIPPED = 77 };
	page_bytes = UINT64_C(1) << 30;
	page = "1G";
	long before = pages("nr_hugepages"), missing = unpromised() < 1;
	if (before < 0 || (missing && gigantic(before + 1) != 0) || unpromised() < 1) {
		(void)fprintf(stderr, "no huge page of 1 GiB is free, and none can be reserved\n");
		if (missing && before >= 0)
			(void)gigantic(before);
		return SKIPPED;
	}
	int failed = run();
	return (missing && gigantic(before) != 0) || failed;
}

int main(int argc, char **argv)
{
	return argc > 1 && strcmp(argv[1], "1G") == 0 ? run_gigantic() : run();
}
