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

/*
 * What a thread has to see to before a guest runs: other threads, its end, work that others have left with
 * it. KVM of this kernel does it by the same function, which KVM brings into the kernel and which is there
 * for modules.
 */
#if __has_include(<linux/entry-virt.h>)

#include <linux/entry-virt.h>

#ifndef CONFIG_VIRT_XFER_TO_GUEST_WORK
#error "the Realm kernel module needs a kernel with KVM"
#endif

static inline int compat_handle_guest_work(void)
{
	return xfer_to_guest_mode_handle_work();
}

#else

#include <linux/entry-kvm.h>
#include <linux/kvm_host.h>

#ifndef CONFIG_KVM_XFER_TO_GUEST_WORK
#error "the Realm kernel module needs a kernel with KVM"
#endif

/*
 * Before 6.18 it notes a signal in a vCPU of KVM's: it counts it and writes the reason of the exit. Nobody
 * reads them from this one, so all threads write to the same.
 */
static inline int compat_handle_guest_work(void)
{
	static struct kvm_run run;
	static struct kvm_vcpu nobody = { .run = &run };

	return xfer_to_guest_mode_handle_work(&nobody);
}

#endif

#endif
