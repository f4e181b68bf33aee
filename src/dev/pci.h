/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pci.h - the kind pci, for its test: a system that is looked at below some folder. Any thread; no state.
 */
#ifndef PGMAP_DEV_PCI_H
#define PGMAP_DEV_PCI_H

#include "dev/dev.h"

/* pci_open_under - as dev_kind.open; ROOT/sys has the device. "": this system. */
int pci_open_under(const char *root, const char *args, struct dev **out, char why[DEV_WHY_MAX]);

#endif
