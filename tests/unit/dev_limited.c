/* SPDX-License-Identifier: BSD-3-Clause */
/* c5.6: a LIMITED device is read in place, and nothing else. */
#include "dev_util.h"

#include "server/service.h"

static char file[64], spec[128];

/* A file of two pages that holds something. */
static int set_up(void **state)
{
	(void)state;
	const char *tmp = getenv("TMPDIR");
	(void)snprintf(file, sizeof(file), "%.40s/pgmap-lim-XXXXXX", tmp ? tmp : "/tmp");
	int fd = mkostemp(file, O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(pwrite(fd, "there", 6, 4096), 6);
	assert_int_equal(close(fd), 0);
	(void)snprintf(spec, sizeof(spec), "limited:file:%s", file);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return unlink(file);
}

static void assert_bytes_are_there(void)
{
	char bytes[6];
	struct stat st;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 8192);
	assert_int_equal(pread(fd, bytes, 6, 4096), 6);
	assert_string_equal(bytes, "there");
	assert_int_equal(close(fd), 0);
}

static void c5_6_it_is_read_in_place_and_has_no_folios(void **state)
{
	(void)state;
	struct dev *dev = open_dev(spec);
	assert_int_equal(dev->type, 0);
	assert_null(dev->ops);
	assert_int_equal(dev->size_bytes, 8192);
	assert_int_equal(strncmp(dev->spec, spec, strlen(spec)), 0);
	void *at = mmap(NULL, dev->size_bytes, PROT_READ, MAP_SHARED, dev->fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = dev->type,
		.len_bytes = dev->size_bytes,
		.addr = at,
		.fd = dev->fd,
		.granule_order = dev->granule_order,
		.ops = dev->ops,
		.ctx = dev,
		.resident = dev->resident,
	};
	struct dax_device *dax;
	struct dax_span span;
	char bytes[6];
	struct folio *folio;
	size_t n;
	assert_int_equal(dax_create(&params, &dax), 0);
	assert_null(dax_pgmap(dax));
	assert_int_equal(dax_direct_access(dax, 1, 1, &span), 1);
	assert_null(span.pgmap);
	assert_string_equal(span.addr, "there");
	assert_int_equal(dax_copy_from(dax, 4096, bytes, 6), 6);
	assert_string_equal(bytes, "there");
	assert_int_equal(dax_request_folios(dax, 1, 1, &folio, 1, &n), -EOPNOTSUPP);
	assert_int_equal(dax_discard(dax, 0, 1), -EOPNOTSUPP);
	assert_int_equal(dax_destroy(dax), 0);
	assert_int_equal(munmap(at, 8192), 0);
	dev_close(dev);
	assert_bytes_are_there();
}

static void c5_6_it_cannot_be_written(void **state)
{
	(void)state;
	struct dev *dev = open_dev(spec);
	assert_int_equal(fcntl(dev->fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd, 0), MAP_FAILED);
	assert_int_equal(errno, EACCES);
	dev_close(dev);
}

static void who_reads_and_who_writes_exclude_each_other(void **state)
{
	(void)state;
	char plain[128];
	(void)snprintf(plain, sizeof(plain), "file:%s,overwrite", file);
	struct dev *dev = open_dev(spec);
	assert_refused(plain, -EBUSY, "another server has it");
	assert_refused(spec, -EBUSY, "another server has it");
	int lease = dev_open_lease(dev, 7, false);
	assert_true(lease >= 0);
	assert_int_equal(dev_lease_probe(dev, 7), 0);
	dev_close(dev);
	assert_refused(spec, -EBUSY, "still map it");
	assert_int_equal(close(lease), 0);
	dev_close(open_dev(spec));
	assert_bytes_are_there();
}

/* What would change it, or is none. */
static void what_cannot_be_read_as_it_is_is_refused(void **state)
{
	(void)state;
	char other[160];
	assert_refused("limited:", -EINVAL, "no device given");
	assert_refused("limited:bogus:x", -EINVAL, "unknown kind of device 'bogus'");
	assert_refused("limited:limited:memfd:size=4K", -EINVAL, "is limited twice");
	assert_refused("limited:file:/dev/null", -EINVAL, "not a regular file");
	(void)snprintf(other, sizeof(other), "%s,size=12K,overwrite", spec);
	assert_refused(other, -EINVAL, "has 8192 bytes, not 12288");
	assert_bytes_are_there();
	(void)snprintf(other, sizeof(other), "limited:file:%s.new,size=4K,create", file);
	assert_refused(other, -EINVAL, "has 0 bytes, not 4096");
	assert_int_equal(access(other + strlen("limited:file:"), F_OK), -1);
	other[strcspn(other, ",")] = 0;
	assert_int_equal(access(other + strlen("limited:file:"), F_OK), -1); /* nothing is left of it */
}

static void an_inherited_memfd_keeps_its_bytes_and_mode(void **state)
{
	(void)state;
	char inherited[64], bytes[4];
	struct stat st;
	int fd = memfd_create("limited", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(pwrite(fd, "kept", 4, 0), 4);
	(void)snprintf(inherited, sizeof(inherited), "limited:memfd:fd=%d", fd);
	dev_close(open_dev(inherited));
	assert_int_equal(pread(fd, bytes, 4, 0), 4);
	assert_memory_equal(bytes, "kept", 4);
	assert_int_equal(fcntl(fd, F_GET_SEALS), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0777);
	assert_int_equal(close(fd), 0);
}

static void c5_6_no_pool_lies_on_it(void **state)
{
	(void)state;
	struct service *service = NULL;
	char why[DEV_WHY_MAX] = "";
	assert_int_equal(service_create(spec, &service, why), -EOPNOTSUPP);
	assert_null(service);
	assert_non_null(strstr(why, "no pool can lie on it"));
	assert_bytes_are_there();
	dev_close(open_dev(spec)); /* and it was let go */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(c5_6_it_is_read_in_place_and_has_no_folios, set_up, tear_down),
		cmocka_unit_test_setup_teardown(c5_6_it_cannot_be_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_reads_and_who_writes_exclude_each_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_read_as_it_is_is_refused, set_up, tear_down),
		cmocka_unit_test(an_inherited_memfd_keeps_its_bytes_and_mode),
		cmocka_unit_test_setup_teardown(c5_6_no_pool_lies_on_it, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
