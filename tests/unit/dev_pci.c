/* SPDX-License-Identifier: BSD-3-Clause */
/* A BAR of a PCI device on a system that is made up (dev_made.h), where plain files are what can be mapped. What the kernel does
 * with a real one: tests/vm/machines/kinds.sh. */
#include "dev_made.h"

#include "dev/kind.h"
#include "dev/pci.h"

/* One BAR of 256 bytes, one of ports, one of 4 MiB that can be prefetched and needs two places, one of 8 KiB that cannot. */
static const char resources[] = "0x00000000febff000 0x00000000febff0ff 0x0000000000040200\n"
				"0x000000000000c000 0x000000000000c03f 0x0000000000040101\n"
				"0x00000000fe400000 0x00000000fe7fffff 0x000000000014220c\n"
				"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				"0x00000000fe000000 0x00000000fe001fff 0x0000000000040200\n"
				"0x0000000000000000 0x00000000000fffff 0x0000000020040200\n"
				"0x00000000fe800000 0x00000000fe80ffff 0x0000000000046200\n";

static int as_it_should_be(void **state)
{
	(void)state;
	char path[PATH_MAX];
	link_at("driver", "");
	write_at("resource", resources);
	write_at("resource2_wc", "");
	write_at("resource2", "");
	write_at("resource4", "");
	(void)snprintf(path, sizeof(path), "%s/resource2_wc", device);
	assert_int_equal(truncate(path, 4 * MIB), 0);
	write_at("enable", "0\n");
	write_at("numa_node", "-1\n");
	return 0;
}

static int set_up(void **state)
{
	make_system("sys/bus/pci/devices/0000:00:04.0");
	return as_it_should_be(state);
}

static void refused(const char *args, int want, const char *words)
{
	refused_by(pci_open_under, args, want, words);
}

static struct dev *opened(const char *args)
{
	return opened_by(pci_open_under, args);
}

static void assert_enabled(const char *want)
{
	char path[PATH_MAX], is[8] = "";
	(void)snprintf(path, sizeof(path), "%s/enable", device);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(is, sizeof(is), f));
	assert_int_equal(fclose(f), 0);
	assert_string_equal(is, want);
}

static void assert_opened_file(const struct dev *dev, const char *name)
{
	char path[PATH_MAX];
	struct stat st, is;
	(void)snprintf(path, sizeof(path), "%s/%s", device, name);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(fstat(dev->fd, &is), 0);
	assert_int_equal(st.st_ino, is.st_ino);
}

static void c5_5_it_is_what_its_resource_says(void **state)
{
	(void)state;
	struct dev *dev = opened("0000:00:04.0/2");
	assert_int_equal(dev->size_bytes, 4 * MIB);
	assert_int_equal(dev->granule_order, 0);
	assert_int_equal(dev->type, PGMAP_P2PDMA);
	assert_true(dev->resident);
	assert_string_equal(dev->spec, "pci:0000:00:04.0/2");
	assert_opened_file(dev, "resource2_wc");
	dev_close(dev);
	dev = opened("0000:00:04.0/4");
	assert_int_equal(dev->size_bytes, 8192);
	assert_opened_file(dev, "resource4"); /* reads of it have side effects: stores to it are not combined */
	dev_close(dev);
}

static void it_is_enabled_once_it_is_ours_and_disabled_in_the_end(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX] = "";
	struct dev *dev = opened("0000:00:04.0/2");
	assert_enabled("0\n");
	assert_int_equal(dev_guard(dev, NULL, why), 0);
	assert_int_equal(dev->take(dev, why), 0);
	assert_enabled("1\n");
	dev_close(dev);
	assert_enabled("0\n");
	write_at("enable", "2\n"); /* others have it enabled too: it counts us, as the kernel's file does */
	dev = opened("0000:00:04.0/2");
	assert_int_equal(dev_guard(dev, NULL, why), 0);
	assert_int_equal(dev->take(dev, why), 0);
	assert_enabled("1\n");
	dev_close(dev);
	assert_enabled("0\n");
}

/* Its file has gone since, with all locks: the device was removed, and found again at the same address. */
static void c6_8_whoever_maps_the_bars_memory_is_seen_without_a_lock(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX] = "";
	struct dev *dev = opened("0000:00:04.0/2");
	write_process(4711, "holder",
		      "7f0000000000-7f0000002000 rw-s fe7ff000 00:16 4242     "
		      "/sys/devices/pci0000:00/0000:00:04.0/resource2_wc (deleted)");
	assert_int_equal(dev_guard(dev, NULL, why), 0);
	assert_int_equal(dev->take(dev, why), -EBUSY);
	assert_non_null(strstr(why, "pid 4711 (holder) maps it"));
	assert_enabled("0\n");
	write_process(4711, "other",
		      "7f0000000000-7f0000002000 rw-s fe3fe000 00:16 4242     "
		      "/sys/devices/pci0000:00/0000:00:04.0/resource2");
	write_process(getpid(), "self",
		      "7f0000000000-7f0000002000 rw-s fe400000 00:16 4242     "
		      "/sys/devices/pci0000:00/0000:00:04.0/resource2");
	write_process(4712, "file", "7f0000000000-7f0000002000 rw-s fe400000 00:16 4242     /srv/data");
	assert_int_equal(dev->take(dev, why), 0);
	dev_close(dev);
	remove_process(4711);
	remove_process(4712);
	remove_process(getpid());
}

static void one_that_gets_a_driver_is_gone(void **state)
{
	(void)state;
	struct dev *dev = opened("0000:00:04.0/2");
	assert_int_equal(dev_check(dev), 0);
	link_at("driver", "../../../../bus/pci/drivers/vfio-pci");
	assert_int_equal(dev_check(dev), -ENXIO);
	dev_close(dev);
}

static void what_names_no_bar_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"0000:00:04.0",    "00:04.0/2",       "0000:00:04.0/",   "0000:00:04.0/2x",  "0000:00:4.0/2",
		"0000:00:24.0/2",  "0000:00:04.8/2",  "/0000:00:04.0/2", "0000:00:04.0/-1",  "../0:00:04.0/2",
		"0000:00:04.0/02", "0000:00:04.0/ 2", "0x00:00:04.0/2",  "0000:00:04.0/2/2", NULL};
	for (const char *const *text = bad; *text; text++)
		refused(*text, -EINVAL, "is not DOMAIN:BUS:DEV.FN/BAR");
	refused("", -EINVAL, "no path given");
	refused("0000:00:05.0/2", -ENOENT, "no such PCI device");
	refused("0000:00:04.0/6", -EINVAL, "BARs are 0 to 5");
	refused("0000:00:04.0/2,size=1M", -EINVAL, "unknown key 'size'");
	refused("0000:00:04.0/2,node=0", -EINVAL, "does not say to which node");
}

static void a_bar_that_is_no_memory_in_whole_pages_is_refused(void **state)
{
	(void)state;
	refused("0000:00:04.0/0", -EINVAL, "BAR 0, 256 bytes at 0xfebff000, is not of whole pages");
	refused("0000:00:04.0/1", -EINVAL, "BAR 1 is of I/O ports");
	refused("0000:00:04.0/3", -ENXIO, "has no BAR 3");
	refused("0000:00:04.0/5", -ENXIO, "BAR 5 has no address");
	write_at("resource", "much\n");
	refused("0000:00:04.0/0", -EIO, "its BARs cannot be read");
	refused("0000:00:04.0/2", -EIO, "its BARs cannot be read");
	remove_at("resource");
	refused("0000:00:04.0/2", -ENOENT, "its BARs cannot be read");
}

static void one_that_has_a_driver_is_refused(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX] = "";
	struct dev *dev = opened("0000:00:04.0/2");
	link_at("driver", "../../../../bus/pci/drivers/nvme");
	refused("0000:00:04.0/2", -EBUSY, "in use by the driver nvme");
	assert_int_equal(dev->take(dev, why), -EBUSY); /* it came in between */
	assert_enabled("0\n");
	dev_close(dev);
}

static void what_cannot_be_opened_or_enabled_is_refused(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX] = "";
	remove_at("resource2_wc");
	refused("0000:00:04.0/2", -ENOENT, "BAR 2 cannot be opened");
	assert_int_equal(as_it_should_be(NULL), 0);
	struct dev *dev = opened("0000:00:04.0/2");
	remove_at("enable");
	assert_int_equal(dev->take(dev, why), -ENOENT);
	assert_non_null(strstr(why, "cannot be enabled"));
	write_at("enable", "0\n");
	write_at("resource", "0x0 0x0 0x0\n0x0 0x0 0x0\n0x1000 0x1fff 0x2200\n");
	assert_int_equal(dev->take(dev, why), -EBUSY);
	assert_non_null(strstr(why, "while it was taken over"));
	assert_enabled("0\n");
	dev_close(dev);
}

static void this_system_has_none_of_that_name(void **state)
{
	(void)state;
	assert_refused("pci:ffff:ff:1f.7/0", -ENOENT, "no such PCI device");
	assert_refused("pci:", -EINVAL, "no path given");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(c5_5_it_is_what_its_resource_says, as_it_should_be),
		cmocka_unit_test_setup(it_is_enabled_once_it_is_ours_and_disabled_in_the_end, as_it_should_be),
		cmocka_unit_test_setup(c6_8_whoever_maps_the_bars_memory_is_seen_without_a_lock, as_it_should_be),
		cmocka_unit_test_setup(one_that_gets_a_driver_is_gone, as_it_should_be),
		cmocka_unit_test_setup(what_names_no_bar_is_refused, as_it_should_be),
		cmocka_unit_test_setup(a_bar_that_is_no_memory_in_whole_pages_is_refused, as_it_should_be),
		cmocka_unit_test_setup(one_that_has_a_driver_is_refused, as_it_should_be),
		cmocka_unit_test_setup(what_cannot_be_opened_or_enabled_is_refused, as_it_should_be),
		cmocka_unit_test_setup(this_system_has_none_of_that_name, as_it_should_be),
	};
	return cmocka_run_group_tests(tests, set_up, remove_system);
}
