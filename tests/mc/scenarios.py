# SPDX-License-Identifier: BSD-3-Clause
"""What the model checker is given: shapes of the tree, scenarios (mc_tree.c and mc_pins.c say how to read them), planted bugs."""

SHAPES = [(2, 2), (1, 3), (3, 2)]  # bits of a level, levels
NAMED = [
    ("request against request against lookup", "R0.0 P0 | R0.1 P0 | L0"),
    ("overlapping orders", "R0.2 P0 | R0.1 P0 | R1.0"),
    ("request against kill and drain", "R0.1 P0 | K0 D0"),
    ("put against drain's wake-up", "R0.0 G0 P0 P0 | K0 D0"),
    ("revive against death", "R0.1 | K0 D0 | K0 V0"),
    ("a drainer and a revive", "R0.2 K0 V0 | K0 D0"),
    ("two drainers and a late request", "K0 D0 | K0 D0 | R0.1"),
    ("split against lookup", "R0.2 S0 | L1 P0 | L3"),
    ("several folios against several and one", "M0.3 P0 | M1.3 | R0.1"),
    ("several folios against a split", "M1.3 | R0.2 S1"),
    ("several folios of two against a larger one", "M0.3 | M1.3 | R0.2"),
    ("several folios against a lookup", "M1.3 | M0.3 | L2"),
    ("several folios against kill and drain", "M1.3 | K0 D0 | R0.2"),
    ("split against request", "R0.2 S1 | R3.0 | R2.1"),
    ("last put against lookup", "R0.1 P0 | L0 P0 | L1"),
    ("put against get", "R0.0 G H1 : P | G P P"),
    ("pins", "R0.0 G H1 : I P P | I P P | L0"),
    ("three last puts", "R0.0 G H1 G H2 : P | P | P"),
    ("quarantine by the owner against request and release", "R0.1 : Q | U1 | R0.0"),
    ("an ended holder's mark against its fence", "R0.0 I : E P | N | R0.0"),
    ("a holder's end against the last put", "R0.0 G H1 I : E P | P N"),
    ("a fence against a lookup's last put", "R0.1 I : E P | L0 P | N"),
]
# Scenarios in which planted bugs showed; a shape that has not the pages or orders of one refuses it.
TELLING = [
    "R0.2 | R1.0 S0 S0 P0",
    "R3.0 R0.0 S0 | R2.1 S0 S1 R2.0",
    "R7.0 L4 P0 F6.0 | R4.2 S1 F0.3 R4.1 S0 K0 D0",
    "R0.3 S2 R0.2 L5 | R4.2 S1 G0",
    "R0.2 S1 R0.1 R0.2 | R0.2 S1 S1 R0.1 G0",
    "L3 R0.1 R0.2 S1 R0.0 | F1.0 P0 R0.2 S0",
    "R1.0 S0 R2.1 S0 R3.0 | F3.0 R1.0",
    "R2.0 R0.2 S0 G0 L3 | R0.2 S0 S1 K0 D0 R0.2",
    "L2 P0 F2.0 | R0.0 P0 G0 S1",
    "K0 D0 R0.1 S0 P0 | K0 V0 R3.0 S1",
    "R0.1 S0 | L1",
]

# In C11 memory: (shape, scenario), each whole in some seconds. What is not said about order by these is in orders.py.
C11 = [
    ((2, 2), "R0.0 P0 | R0.0 P0"),
    ((2, 2), "R0.2 | R1.0"),
    ((2, 2), "R0.1 P0 | K D"),
    ((2, 2), "M1.3 P P | R0.2"),
    ((2, 2), "M1.2 P P | L2"),
    ((2, 2), "M1.2 P P | K D"),
    ((2, 2), "R0.0 G P P | K D"),
    ((2, 2), "R0.2 K V | K D"),
    ((2, 2), "R0.0 G H1 G H2 : P | P | L0"),
    ((2, 2), "R0.0 G H1 : I P P | G P P"),
    ((2, 2), "R0.2 : S0 P | L1 P | R1.0"),
    ((2, 2), "R0.1 : Q | U1 | R0.0"),
    ((2, 2), "R0.0 I : E P | N | R0.0"),
    ((2, 2), "R0.1 I : E P | L0 P | N"),
    ((1, 3), "R0.2 P | R1.0"),
    ((1, 3), "F0.0 P | F0.0 K D"),
]
# Of three threads, in C11 memory, whole: smaller than those of NAMED that have too many states there.
SMALL = [
    ((1, 2), "overlapping orders", "R0.1 P0 | R0.0 P0 | R1.0"),
    ((1, 2), "a split against requests", "R0.1 S0 | R1.0 | R0.0"),
    ((1, 2), "a span against requests", "M0.2 | R0.0 | R1.0"),
    ((1, 2), "a span against a larger folio and a smaller one", "M0.2 | R0.1 | R1.0"),
    ((1, 2), "a span against kill and drain", "M0.2 P P | K0 D0 | R0.0"),
    ((2, 2), "several folios against the same and a lookup", "M1.2 P P | M1.2 | L2"),
]
# Private values and poison, in shape (2, 2), in each memory.
SPECIAL = [
    "R0.0 W P | R0.0 P",
    "R0.1 W P | R0.0 W P",
    "R0.0 W P | R1.0 W P R1.0",
    "R0.0 G H1 : W P | P | R0.0",
    "R0.0 W G H1 : P | P R0.0",
    "R0.0 W : Q | U0 | R0.0",
    "R0.0 I W : E P | N | R0.0",
    "X0.1 : F0.0 P | R0.1 | M0.2",
    "R1.0 X0.1 : P | F0.0 | M0.2",
    "X0.1 R0.0 | X2.1 R2.0",
    "R1.0 : X0.1 P | R1.0 F0.0",
    "R1.0 : X0.1 P | R1.0 M0.2",
    "X0.1 C0.1 | F0.0 P F0.0 P",
    "R1.0 X0.1 : X2.1 C0.1 P | R1.0 F2.0 R0.0",
]
# Planted in the model's copy of them, for each the memory and the scenario that find it.
SPECIAL_MUTANTS = [
    ("private-not-cleared", "sc", "R0.0 W P | R0.0 P", "atomic_store_explicit(at, 0, memory_order_relaxed);", ";"),
    ("words-before-their-flag", "c11", "R0.0 W P | R1.0 W P R1.0", "\t\tmap_special(SPECIAL_PRIVATE, true);\n", ""),
    ("words-before-their-commitment", "c11", "R0.0 W P | R1.0 W P R1.0",
     "atomic_store_explicit(&g.private_on_demand, true, memory_order_relaxed);", ""),
    ("short-ways-stay-open", "sc", "R1.0 X0.1 : P | F0.0 | M0.2", "\tmap_open_short_ways(!map_is(SPECIAL_POISON));\n", ""),
    ("no-flag-of-poison", "sc", "X0.1 : F0.0 P | R0.1 | M0.2", "\tmap_special(SPECIAL_POISON, pages != 0);\n", ""),
    ("poison-changed-without-its-lock", "sc", "X0.1 R0.0 | X2.1 R2.0",
     "\tlock(&g.poison_lock);\n\tuint64_t pages", "\tuint64_t pages"),
]
# More of them, in which a weakened memory order showed.
ORDERS = [
    ((2, 2), "R0.0 : P K D | K D"),
    ((2, 2), "R0.0 H1 : K D | P | K D"),
    ((2, 2), "R0.0 I H1 : P | P | K D"),
    ((2, 2), "R0.0 G H1 I : E P | P N"),
    ((2, 2), "R0.0 I : E P | N R0.0"),
]
# In C11 memory with asymmetric barriers: what the fence between uncount and sum is for.
UNCOUNTERS = ((2, 2), "R0.0 R1.0 H1 : P | P | K D")
PINS = [
    "P0 U | B1 W X",
    "P0 P1 U U P0 | B1 W X R",
    "P0 U | P1 U | B1 W X",
    "P0 U | P0 U P0 U | B1 B2 W",
    "P0 U C O P0 | B1 W X",
    "P0 C P0 O | P1 U | B3 W",
    "P0 U | P0 U C",
    "P0 U C T A1 P0 U | B3 W A0 N I T",
    "P0 U P0 U | B1 W X B1 W X",
]
MUTANTS = [
    ("parent-unconfirmed", "claim.c",
     "if (!word_is_open(w) || (w & claim_mask_bit(k)) != claim_mask_bit(k))\n\t\t\treturn CLAIM_AGAIN;", ""),
    ("larger-heads-unchecked", "claim.c", "r = claim_check_larger(tree, level, k, i, mask);", "r = 0;"),
    ("larger-heads-from-the-smallest", "claim.c",
     "for (unsigned larger = CLAIM_LEVEL_BITS - 1; larger > k; larger--) {",
     "for (unsigned larger = k + 1; larger < CLAIM_LEVEL_BITS; larger++) {"),
    ("no-second-look-at-the-mask", "claim.c", "} while (r == 0 && (mask & ~seen) != 0);", "} while (0);"),
    ("lookup-reads-the-mask-once", "claim.c",
     "while (!word_is_active(parent) && (parent & WORD_LOW_MASK & ~mask) != 0);", "while (0);"),
    ("lookup-stops-at-closing", "claim.c",
     "(word_state(w) != WORD_OPEN && word_state(w) != WORD_CLOSING)", "word_state(w) != WORD_OPEN"),
    ("lookup-looks-once", "claim.c", "return r == 0 && again == *out ? 0 : CLAIM_AGAIN;", "return 0;"),
    ("split-sets-no-mask", "claim.c",
     "claim_set_mask(claim_word(tree, level + 1, i >> CLAIM_LEVEL_BITS), new_k);", ";"),
    ("split-stores-over-claims", "claim.c",
     "while (!word_claim(word, &old, want)) {", "word_store(word, want);\n\twhile (0) {"),
    ("short-way-parent-unconfirmed", "claim.h",
     "if ((level != CLAIM_TOP && word_load(parent) != open) || !live_admitted(live)) {", "if (!live_admitted(live)) {"),
    ("admitted-while-dying", "claim.c", "return live_admitted(live) ? 0 : -ENODEV;", "(void)live;\n\treturn 0;"),
    ("busy-while-undecided", "claim.c", "return word_is_firm(w) ? -EBUSY : CLAIM_AGAIN;", "return -EBUSY;"),
    ("dies-of-any-generation", "live.h",
     "return live_move(live, &seen, (seen & ~UINT64_C(3)) | LIVE_DEAD) ? 1 : -1;",
     "seen = live_state(live);\n\treturn live_move(live, &seen, (seen & ~UINT64_C(3)) | LIVE_DEAD) ? 1 : -1;"),
    ("opened-without-the-mask", "claim.c",
     "if ((w & claim_mask_bit(k)) == claim_mask_bit(k) || word_claim(parent, &w, w | claim_mask_bit(k)))",
     "if (word_is_open(w))"),
    ("keeps-its-claims-and-begins-again", "claim.c",
     "while (r && pgoff < at) {", "while (r && r != CLAIM_AGAIN && pgoff < at) {"),
    ("published-as-claimed", "claim.c",
     "\t\tif (r)\n\t\t\tbreak;\n\t\tat += UINT64_C(1) << order;",
     "\t\tif (r)\n\t\t\tbreak;\n\t\tword_store(claim_head(tree, at, order), word_make(WORD_HELD, order, WORD_REF));\n"
     "\t\tat += UINT64_C(1) << order;"),
    ("nobody-is-the-last", "live.h",
     "\tLIVE_FENCE();\n\treturn live_sum(live) == 0;", "\t(void)live;\n\treturn false;"),
]
