/* SPDX-License-Identifier: BSD-3-Clause */
/* What all kinds share whose memory is always there: their spec, what sysfs says, which blocks are bad, and zeros that are written. Of a
 * device on a system that is made up (dev_made.h). */
#include "dev_made.h"

#include "dev/resident.h"

static struct resident *resident;

static int set_up(void **state)
{
	(void)state;
	make_system("sys/region/device");
	resident = resident_create(sizeof(*resident), &dev_pmem);
	assert_non_null(resident);
	(void)snprintf(resident->sysfs, sizeof(resident->sysfs), "%s", device);
	resident->dev.size_bytes = 16 * PGMAP_PAGE_SIZE;
	return 0;
}

static int tear_down(void **state)
{
	resident_close(&resident->dev);
	return remove_system(state);
}

static const struct dev_key keys[] = {
	RESIDENT_NODE, RESIDENT_SIZE, RESIDENT_ALIGN, RESIDENT_UUID, {NULL, false, NULL},
};

static void a_spec_is_a_path_and_a_node(void **state)
{
	(void)state;
	struct resident_request req;
	char why[DEV_WHY_MAX] = "", path[PATH_MAX + 8];
	assert_int_equal(resident_parse("/dev/x", keys, &req, why), 0);
	assert_string_equal(req.path, "/dev/x");
	assert_int_equal(req.node, NODE_ANY);
	assert_int_equal(resident_parse("/dev/x,node=3", keys, &req, why), 0);
	assert_int_equal(req.node, 3);
	resident_write_spec(resident, &req);
	assert_string_equal(resident->dev.spec, "pmem:/dev/x,node=3");
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = 0;
	assert_int_equal(resident_parse(path, keys, &req, why), -ENAMETOOLONG);
	assert_int_equal(resident_parse(",node=3", keys, &req, why), -EINVAL);
}

#define UUID "c083707c-0081-49af-bfba-ff284e7e3f9e"

static void what_is_expected_can_be_said(void **state)
{
	(void)state;
	static const char *const wrong[] = {"size=0",
					    "size=x",
					    "align=0",
					    "align=4X",
					    "uuid=c083707c-0081-49af-bfba-ff284e7e3f9e0",
					    "uuid=c083707c",
					    "uuid=g083707c-0081-49af-bfba-ff284e7e3f9e"};
	struct resident_request req;
	char why[DEV_WHY_MAX] = "", args[96];
	assert_int_equal(resident_parse("/dev/x", keys, &req, why), 0);
	assert_true(!req.size_bytes && !req.align_bytes && !*req.uuid);
	assert_int_equal(resident_parse("/dev/x,size=64K,align=2M,uuid=" UUID, keys, &req, why), 0);
	assert_int_equal(req.size_bytes, 65536);
	assert_int_equal(req.align_bytes, 2 << 20);
	assert_string_equal(req.uuid, UUID);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		(void)snprintf(args, sizeof(args), "/dev/x,%s", wrong[i]);
		assert_int_equal(resident_parse(args, keys, &req, why), -EINVAL);
		assert_int_equal(strncmp(why, wrong[i], strlen(wrong[i])), 0);
	}
}

static void another_one_than_was_expected_is_refused(void **state)
{
	(void)state;
	struct resident_request req;
	char why[DEV_WHY_MAX] = "";
	assert_int_equal(resident_parse("/dev/x", keys, &req, why), 0);
	assert_int_equal(resident_check_size(resident, &req, why), 0);
	assert_int_equal(resident_check_uuid(resident, &req, "uuid", why),
			 0); /* there is none, and none is asked for */
	assert_int_equal(resident_parse("/dev/x,size=64K,uuid=" UUID, keys, &req, why), 0);
	assert_int_equal(resident_check_size(resident, &req, why), 0);
	assert_int_equal(resident_check_uuid(resident, &req, "uuid", why), -EINVAL);
	assert_non_null(strstr(why, "it has none"));
	write_at("uuid", "C083707C-0081-49AF-BFBA-FF284E7E3F9E\n");
	assert_int_equal(resident_check_uuid(resident, &req, "uuid", why), 0);
	write_at("uuid", "00000000-0081-49af-bfba-ff284e7e3f9e\n");
	assert_int_equal(resident_check_uuid(resident, &req, "uuid", why), -EINVAL);
	assert_non_null(strstr(why, "uuid=" UUID ": it is 00000000-0081"));
	req.size_bytes = 131072;
	assert_int_equal(resident_check_size(resident, &req, why), -EINVAL);
	assert_non_null(strstr(why, "size=131072: it has 65536 bytes"));
}

static void sysfs_is_read_and_nothing_is_made_up(void **state)
{
	(void)state;
	struct resident_name name;
	char line[16];
	int64_t number = 7;
	write_at("number", "0x10\n");
	assert_true(resident_number(resident, "number", &number));
	assert_int_equal(number, 16);
	write_at("lines", "A=1\nB=2\n");
	assert_true(resident_line(resident, "lines", "B=", line, sizeof(line)));
	assert_string_equal(line, "B=2");
	assert_false(resident_line(resident, "lines", "C=", line, sizeof(line)));
	assert_false(resident_number(resident, "lines", &number));
	assert_false(resident_number(resident, "none", &number));
	link_at("to", "../a/b");
	assert_string_equal(resident_link(resident, "to", &name), "b");
	assert_string_equal(resident_link(resident, "none", &name), "");
}

struct bad {
	unsigned n;
	uint64_t offset[4], len[4];
	int answer;
};

static int note(uint64_t offset_bytes, uint64_t len_bytes, void *arg)
{
	struct bad *bad = arg;
	bad->offset[bad->n] = offset_bytes;
	bad->len[bad->n++] = len_bytes;
	return bad->answer;
}

static void write_bytes(const char *name, const char *bytes, size_t n)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", device, name);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static struct bad bad_of(const char *list, int64_t begins_bytes, int want)
{
	struct bad bad = {0};
	write_at("../badblocks", list);
	resident_list_bad(resident, "../badblocks", begins_bytes);
	assert_int_equal(dev_for_each_bad(&resident->dev, note, &bad), want);
	return bad;
}

/* Sectors are 512 bytes; the device has 16 pages of 8 of them. */
static void c6_5_bad_blocks_are_told_as_pages_of_the_device(void **state)
{
	(void)state;
	struct bad bad = bad_of("", 0, 0);
	assert_int_equal(bad.n, 0);
	bad = bad_of("8 1\n31 2\n126 100\n", 0, 0);
	assert_int_equal(bad.n, 3);
	assert_int_equal(bad.offset[0], 4096); /* one sector of it is enough */
	assert_int_equal(bad.len[0], 4096);
	assert_int_equal(bad.offset[1], 3 * 4096); /* it lies on two */
	assert_int_equal(bad.len[1], 2 * 4096);
	assert_int_equal(bad.offset[2], 15 * 4096); /* it goes beyond the end */
	assert_int_equal(bad.len[2], 4096);
	/* The device begins at page 4 of what the list is of. */
	bad = bad_of("0 31\n0 40\n160 1\n161 8\n", 4 * 4096, 0);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.offset[0], 0);
	assert_int_equal(bad.len[0], 4096);
}

/* As often as it is asked for, and what comes to have its name is another's. */
static void c6_5_a_list_is_read_again_where_it_was_opened(void **state)
{
	(void)state;
	struct bad bad = bad_of("8 1\n", 0, 0);
	assert_int_equal(bad.n, 1);
	assert_true(dev_bad_fd(&resident->dev) >= 0);
	write_at("../badblocks", "8 1\n16 1\n");
	for (int i = 0; i < 2; i++) {
		bad = (struct bad){0};
		assert_int_equal(dev_for_each_bad(&resident->dev, note, &bad), 0);
		assert_int_equal(bad.n, 2);
		assert_int_equal(bad.offset[1], 2 * 4096);
	}
	remove_at("../badblocks");
	write_at("../badblocks", "");
	bad = (struct bad){0};
	assert_int_equal(dev_for_each_bad(&resident->dev, note, &bad), 0);
	assert_int_equal(bad.n, 2);
}

static void c6_5_who_is_told_may_end_it(void **state)
{
	(void)state;
	struct bad bad = {.answer = -ENOMEM};
	write_at("../badblocks", "0 8\n8 8\n");
	resident_list_bad(resident, "../badblocks", 0);
	assert_int_equal(dev_for_each_bad(&resident->dev, note, &bad), -ENOMEM);
	assert_int_equal(bad.n, 1);
}

static void a_list_that_cannot_be_understood_is_no_empty_one(void **state)
{
	(void)state;
	assert_int_equal(bad_of("8 1\nmuch\n", 0, -EIO).n, 1);
	assert_int_equal(bad_of("18446744073709551615 1\n", 0, -EIO).n, 0);
	assert_int_equal(bad_of("1 18446744073709551615\n", 0, -EIO).n, 0);
	assert_int_equal(bad_of("8 1\n16 1", 0, -EIO).n, 0); /* the kernel has cut it: 16 1, or 16 12? */
	char text[9000];
	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_int_equal(bad_of(text, 0, -EIO).n, 0); /* none of its pages is so long */
	memcpy(text + 4091, "8 1\n", 5);
	assert_int_equal(bad_of(text, 0, -EIO).n, 0); /* all that fits: there may be more lines */
	assert_int_equal(bad_of(text + 1, 0, 0).n, 1);
	assert_int_equal(bad_of("", 0, 0).n, 0);
	write_bytes("../badblocks", "8\0001\n", 4);
	assert_int_equal(dev_for_each_bad(&resident->dev, note, &(struct bad){0}), -EIO);
	resident_list_bad(resident, "none", 0); /* memory without such a list */
	assert_int_equal(dev_for_each_bad(&resident->dev, note, &(struct bad){0}), 0);
	assert_int_equal(dev_bad_fd(&resident->dev), -1);
	resident_list_bad(resident, "../badblocks/none", 0);
	assert_int_equal(dev_for_each_bad(&resident->dev, note, &(struct bad){0}), -ENOTDIR);
	resident->dev.for_each_bad = NULL;
	assert_int_equal(dev_for_each_bad(&resident->dev, note, &(struct bad){0}), 0);
}

/* Bad blocks that nobody can place are a reason to stop; none are none, wherever the device begins. */
static void c6_5_where_the_device_begins_must_be_known(void **state)
{
	(void)state;
	assert_int_equal(bad_of("", -1, 0).n, 0);
	assert_int_equal(bad_of("8 1\n", -1, -EACCES).n, 0);
}

static void what_has_gone_is_noticed(void **state)
{
	(void)state;
	assert_int_equal(dev_check(&resident->dev), 0); /* nothing is watched */
	write_at("uevent", "");
	resident_watch(resident, "uevent");
	assert_int_equal(dev_check(&resident->dev), 0);
	remove_at("uevent");
	assert_int_equal(dev_check(&resident->dev), -ENXIO);
}

static void volatile_memory_is_flushed_by_nothing(void **state)
{
	(void)state;
	assert_int_equal(resident->dev.persistence, DEV_PERSIST_NONE);
	assert_int_equal(resident->dev.ops->flush(resident, 0, 4096), 0);
	resident->dev.fd = memfd_create("resident", MFD_CLOEXEC);
	assert_true(resident->dev.fd >= 0);
	assert_int_equal(ftruncate(resident->dev.fd, 16 * 4096), 0);
	resident_persist(resident, true);
	assert_int_equal(resident->dev.persistence, DEV_PERSIST_PAGE);
	assert_int_equal(resident->dev.ops->flush(resident, 5000, 10000), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_spec_is_a_path_and_a_node, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_expected_can_be_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_one_than_was_expected_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sysfs_is_read_and_nothing_is_made_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(c6_5_bad_blocks_are_told_as_pages_of_the_device, set_up, tear_down),
		cmocka_unit_test_setup_teardown(c6_5_a_list_is_read_again_where_it_was_opened, set_up, tear_down),
		cmocka_unit_test_setup_teardown(c6_5_who_is_told_may_end_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_list_that_cannot_be_understood_is_no_empty_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(c6_5_where_the_device_begins_must_be_known, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_has_gone_is_noticed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(volatile_memory_is_flushed_by_nothing, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
