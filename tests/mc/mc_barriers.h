/* SPDX-License-Identifier: BSD-3-Clause */
/* mc_barriers.h - the barriers of core/live.h where they are asymmetric: membarrier(2) and none. */
#define LIVE_LIGHT() mc_light()
#define LIVE_HEAVY() mc_heavy()
#ifndef LIVE_FENCE /* planted: none */
#define LIVE_FENCE() mc_fence(memory_order_seq_cst)
#endif
