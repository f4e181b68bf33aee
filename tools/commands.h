/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * commands.h - the commands, one struct each, in the files that are named after their nouns (cmd_*.c, demo.c).
 */
#ifndef PGMAP_TOOLS_COMMANDS_H
#define PGMAP_TOOLS_COMMANDS_H

#include "cli.h"

extern const struct cli_command cmd_serve, cmd_stop;
extern const struct cli_command cmd_info;
extern const struct cli_command cmd_device;
extern const struct cli_command cmd_ls, cmd_stat, cmd_mkdir, cmd_rm;
extern const struct cli_command cmd_truncate, cmd_punch;
extern const struct cli_command cmd_order;
extern const struct cli_command cmd_cp;
extern const struct cli_command cmd_mv;
extern const struct cli_command cmd_put;
extern const struct cli_command cmd_get, cmd_cat;
extern const struct cli_command cmd_who, cmd_fence;
extern const struct cli_command cmd_lost, cmd_repair;
extern const struct cli_command cmd_demo, cmd_demo_worker;
extern const struct cli_command cmd_bench;

#endif
