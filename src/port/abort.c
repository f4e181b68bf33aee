/* SPDX-License-Identifier: BSD-3-Clause */
#include "port/abort.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* One write, no stdio: the caller may be a signal handler, or hold any lock. */
static void say(const char *format, va_list args)
{
	char line[512];
	int n = vsnprintf(line, sizeof(line) - 1, format, args);
	if (n < 0)
		n = 0;
	if ((size_t)n > sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n] = '\n';
	(void)!write(STDERR_FILENO, line, (size_t)n + 1);
}

void port_say(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say(format, args);
	va_end(args);
}

void port_abort(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say(format, args);
	va_end(args);
	abort();
}
