/* SPDX-License-Identifier: BSD-3-Clause */
#include "port/stack.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <string.h>
#include <unistd.h>

#include "port/abort.h"

enum { SKIPPED_MOST = 4 }; /* port_stack_take(), who called it, and what a sanitizer puts above */

void port_stack_init(void)
{
	void *frame[1];
	(void)backtrace(frame, 1);
}

void port_stack_take(struct port_stack *stack)
{
	void *frames[PORT_STACK_FRAMES + SKIPPED_MOST], *caller = __builtin_return_address(0);
	int n = backtrace(frames, PORT_STACK_FRAMES + SKIPPED_MOST), from = 0;
	while (from < n && frames[from] != caller)
		from++;
	from = from < n ? from + 1 : 0;
	stack->nframes = n - from < PORT_STACK_FRAMES ? n - from : PORT_STACK_FRAMES;
	memcpy(stack->frames, frames + from, (size_t)stack->nframes * sizeof(*frames));
	stack->thread = port_thread();
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

void port_stack_say(const struct port_stack *stack)
{
	for (int i = 0; i < stack->nframes; i++) {
		Dl_info info;
		if (dladdr(stack->frames[i], &info) == 0 || !info.dli_fname)
			port_say("    %p", stack->frames[i]);
		else
			port_say("    %s+%#tx%s%s", base_name(info.dli_fname),
				 (char *)stack->frames[i] - (char *)info.dli_fbase, info.dli_sname ? " " : "",
				 info.dli_sname ? info.dli_sname : "");
	}
}

int port_thread(void)
{
	return (int)gettid();
}

int port_process(void)
{
	return (int)getpid();
}
