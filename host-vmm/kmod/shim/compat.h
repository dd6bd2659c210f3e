/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What differs among the kernels that the module is built for: 6.12 and later. */
#ifndef REALM_COMPAT_H
#define REALM_COMPAT_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#error "the Realm kernel module needs Linux 6.12 or later"
#endif

#ifndef CONFIG_ARM64_4K_PAGES
#error "the Realm kernel module needs a kernel with 4 KiB pages, the RMM's granules"
#endif

#ifdef CONFIG_SHADOW_CALL_STACK
#error "the Rust half of the module does not keep x18 for the kernel's shadow call stack"
#endif

#ifdef CONFIG_ARM64_BTI_KERNEL
#error "the Rust half of the module has no landing pads for indirect branches"
#endif

#endif
