/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dev.c - a spec becomes a device: the table of kinds, the reading of specs and sizes, and the order of opening.
 *
 * Opening has four steps, and only the last may change anything that somebody else could see: the kind opens the
 * memory; lease.c's guards prove that no other server has it and no client of a dead one still maps it; the kind looks once
 * more (take); then it drops what an earlier owner left. A device that is refused was not touched.
 *
 * Thread safety: no state of its own; a struct dev is read-only once open, so any thread may use it until dev_close().
 */
#include "dev/dev.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev/kind.h"

static const struct dev_kind *const kinds[] = {&dev_memfd, &dev_hugetlb, &dev_file,   &dev_devdax,
					       &dev_pmem,  &dev_pci,     &dev_limited};
enum { NKINDS = sizeof(kinds) / sizeof(kinds[0]) };

const struct dev_kind *dev_kind_at(size_t i)
{
	return i < NKINDS ? kinds[i] : NULL;
}

int dev_refuse(char why[DEV_WHY_MAX], int err, const char *format, ...)
{
	if (why) {
		va_list args;
		va_start(args, format);
		(void)vsnprintf(why, DEV_WHY_MAX, format, args);
		va_end(args);
	}
	return err;
}

static unsigned suffix_shift(char suffix)
{
	switch (suffix) {
	case 'K':
	case 'k':
		return 10;
	case 'M':
	case 'm':
		return 20;
	case 'G':
	case 'g':
		return 30;
	case 'T':
	case 't':
		return 40;
	default:
		return 0;
	}
}

int dev_parse_size(const char *text, uint64_t *bytes)
{
	uint64_t n = 0;
	const char *p = text;
	if (!text || !bytes)
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(n, (uint64_t)10, &n) || __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return -EINVAL;
	}
	if (p == text)
		return -EINVAL;
	unsigned shift = suffix_shift(*p);
	if (shift)
		p++;
	if (*p || (n << shift) >> shift != n)
		return -EINVAL;
	*bytes = n << shift;
	return 0;
}

static int unknown_key(const struct dev_key *keys, const char *key, size_t len, char why[DEV_WHY_MAX])
{
	char known[128] = "";
	for (const struct dev_key *k = keys; k->name; k++) {
		size_t at = strlen(known);
		(void)snprintf(known + at, sizeof(known) - at, "%s%s", k == keys ? "" : ", ", k->name);
	}
	return dev_refuse(why, -EINVAL, "unknown key '%.*s' (known: %s)", (int)(len < 32 ? len : 32), key, known);
}

/* seen: bit k, the kth key has come. */
static int parse_arg(const char *arg, size_t len, const struct dev_key *keys, unsigned *seen, void *request,
		     char why[DEV_WHY_MAX])
{
	char value[DEV_ARG_MAX];
	const char *eq = memchr(arg, '=', len);
	size_t key_len = eq ? (size_t)(eq - arg) : len;
	size_t value_len = eq ? len - key_len - 1 : 0;
	if (!key_len || (eq && !value_len) || value_len >= sizeof(value))
		return dev_refuse(why, -EINVAL, "'%.*s' is not KEY=VALUE", (int)(len < 80 ? len : 80), arg);
	const struct dev_key *key = keys;
	while (key->name && (strlen(key->name) != key_len || memcmp(key->name, arg, key_len) != 0))
		key++;
	if (!key->name)
		return unknown_key(keys, arg, key_len, why);
	if (*seen & 1U << (key - keys))
		return dev_refuse(why, -EINVAL, "%s is given twice", key->name);
	*seen |= 1U << (key - keys);
	if (key->bare != !eq)
		return dev_refuse(why, -EINVAL, key->bare ? "%s takes no value" : "'%s' is not KEY=VALUE", key->name);
	memcpy(value, eq ? eq + 1 : "", value_len);
	value[value_len] = 0;
	return key->set(request, value, why);
}

int dev_parse_args(const char *args, const struct dev_key *keys, void *request, char why[DEV_WHY_MAX])
{
	unsigned seen = 0;
	while (*args) {
		size_t len = strcspn(args, ",");
		int err = parse_arg(args, len, keys, &seen, request, why);
		if (err)
			return err;
		if (args[len] && !args[len + 1])
			return dev_refuse(why, -EINVAL, "ends with a comma");
		args += len + (args[len] == ',');
	}
	return 0;
}

int dev_parse_path(const char *args, char path[PATH_MAX], const struct dev_key *keys, void *request,
		   char why[DEV_WHY_MAX])
{
	size_t len = strcspn(args, ",");
	if (!len)
		return dev_refuse(why, -EINVAL, "no path given");
	if (len >= PATH_MAX)
		return dev_refuse(why, -ENAMETOOLONG, "the path is too long");
	memcpy(path, args, len);
	path[len] = 0;
	return dev_parse_args(args + len + (args[len] == ','), keys, request, why);
}

static int unknown_kind(const char *spec, size_t len, char why[DEV_WHY_MAX])
{
	char known[128] = "";
	for (size_t i = 0; i < NKINDS; i++) {
		size_t at = strlen(known);
		(void)snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "", kinds[i]->name);
	}
	return dev_refuse(why, -EINVAL, "unknown kind of device '%.*s' (known: %s)", (int)(len < 32 ? len : 32), spec,
			  known);
}

int dev_open_kind(const char *spec, struct dev **out, char why[DEV_WHY_MAX])
{
	size_t len = strcspn(spec, ":");
	for (size_t i = 0; i < NKINDS; i++) {
		if (strlen(kinds[i]->name) == len && memcmp(kinds[i]->name, spec, len) == 0)
			return kinds[i]->open(spec + len + (spec[len] == ':'), out, why);
	}
	return unknown_kind(spec, len, why);
}

int dev_look(const char *spec, const struct dev_own *own, struct dev **out, char why[DEV_WHY_MAX])
{
	struct dev *dev = NULL;
	if (why)
		why[0] = 0;
	if (!spec || !out)
		return dev_refuse(why, -EINVAL, "no device given");
	int err = dev_open_kind(spec, &dev, why);
	if (!dev)
		return err;
	err = dev_guard(dev, own, why);
	if (!err && dev->take)
		err = dev->take(dev, why);
	if (err) {
		dev_close(dev);
		return err;
	}
	*out = dev;
	return 0;
}

int dev_drop(struct dev *dev, char why[DEV_WHY_MAX])
{
	return dev->drop ? dev->drop(dev, why) : 0;
}

void dev_stays(struct dev *dev)
{
	dev->made = false;
}

int dev_open_again(const char *spec, const struct dev_own *own, struct dev **out, char why[DEV_WHY_MAX])
{
	struct dev *dev = NULL;
	int err = dev_look(spec, own, out ? &dev : NULL, why);
	if (!dev)
		return err;
	err = dev_drop(dev, why);
	if (err) {
		dev_close(dev);
		return err;
	}
	dev_stays(dev);
	*out = dev;
	return 0;
}

int dev_open(const char *spec, struct dev **out, char why[DEV_WHY_MAX])
{
	return dev_open_again(spec, NULL, out, why);
}

bool dev_is(const struct dev *dev, const char *spec)
{
	char path[PATH_MAX];
	struct stat has, named;
	const char *args = spec + strcspn(spec, ":");
	size_t len = strcspn(spec, ",");
	(void)snprintf(path, sizeof(path), "%.*s", (int)strcspn(args + (*args != 0), ","), args + (*args != 0));
	if (stat(path, &named) == 0)
		return fstat(dev->fd, &has) == 0 && has.st_dev == named.st_dev && has.st_ino == named.st_ino;
	return strncmp(dev->spec, spec, len) == 0 && (!dev->spec[len] || dev->spec[len] == ',');
}

int dev_check(const struct dev *dev)
{
	return dev->check ? dev->check(dev) : 0;
}

int dev_for_each_bad(const struct dev *dev, dev_bad_fn *fn, void *arg)
{
	return dev->for_each_bad ? dev->for_each_bad(dev, fn, arg) : 0;
}

int dev_bad_fd(const struct dev *dev)
{
	return dev->bad_fd ? dev->bad_fd(dev) : -1;
}

void dev_close(struct dev *dev)
{
	if (!dev)
		return;
	dev_unguard(dev);
	dev->close(dev);
}
