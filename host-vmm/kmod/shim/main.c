// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The Realm kernel module: /dev/realm, and what happens when the machine wants to sleep or go down.
 */
#define pr_fmt(fmt) "realm: " fmt

#include <linux/arm-smccc.h>
#include <linux/capability.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/suspend.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>

#include <asm/alternative.h>
#include <asm/arch_timer.h>
#include <asm/cpufeature.h>
#include <asm/virt.h>

#include "host.h"

/* What realm_init() has said, or why it was not asked. */
static int rmm_status;
/* Rust has been called, so it can be called again. */
static bool core_initialized;
static bool stopping;
/* The machine is about to sleep: no new VMs. Under host_vms_lock. */
static bool suspending;

bool host_is_stopping(void)
{
	return READ_ONCE(stopping);
}

/* Whether a VM can be created now. Under host_vms_lock. */
int host_rmm_status(void)
{
	if (host_is_stopping())
		return -ESHUTDOWN;
	if (suspending)
		return -EBUSY;
	return rmm_status;
}

void host_get_information(struct realm_information *information)
{
	memset(information, 0, sizeof(*information));
	if (core_initialized)
		realm_information(information);
	else
		information->module_interface = REALM_MODULE_INTERFACE;
}

void host_get_limits(struct realm_limits *limits)
{
	memset(limits, 0, sizeof(*limits));
	if (core_initialized)
		realm_limits(limits);
}

long host_check_extension(unsigned long capability)
{
	struct realm_limits limits;

	host_get_limits(&limits);
	switch (capability) {
	case KVM_CAP_USER_MEMORY:
	case KVM_CAP_USER_MEMORY2:
	case KVM_CAP_GUEST_MEMFD:
	case KVM_CAP_DEVICE_CTRL:
	case KVM_CAP_IRQCHIP:
	case KVM_CAP_IRQFD:
	case KVM_CAP_IRQFD_RESAMPLE:
	case KVM_CAP_IOEVENTFD:
	case KVM_CAP_IOEVENTFD_ANY_LENGTH:
	case KVM_CAP_IMMEDIATE_EXIT:
	case KVM_CAP_ONE_REG:
	case KVM_CAP_ARM_PSCI:
	case KVM_CAP_ARM_PSCI_0_2:
		return 1;
	case KVM_CAP_MEMORY_ATTRIBUTES:
		return KVM_MEMORY_ATTRIBUTE_PRIVATE;
	case KVM_CAP_ARM_VM_IPA_SIZE:
		return limits.ipa_bits;
	case KVM_CAP_NR_VCPUS:
		return min(limits.vcpus, num_online_cpus());
	case KVM_CAP_MAX_VCPUS:
	case KVM_CAP_MAX_VCPU_ID:
		return min(limits.vcpus, REALM_MAX_VCPUS);
	case KVM_CAP_NR_MEMSLOTS:
		return limits.slots;
	default:
		return 0;
	}
}

/* It is about all Realms of the machine, and has physical addresses: for administrators. */
static long rmm_statistics(void __user *argument)
{
	struct realm_rmm_statistics statistics;
	int error;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (copy_from_user(&statistics, argument, sizeof(statistics)))
		return -EFAULT;
	if (rmm_status)
		return rmm_status;
	error = realm_rmm_statistics(statistics.index, statistics.words);
	if (error)
		return error;
	statistics.counter = __arch_counter_get_cntpct();
	statistics.frequency = arch_timer_get_cntfrq();
	if (copy_to_user(argument, &statistics, sizeof(statistics)))
		return -EFAULT;
	return 0;
}

static long device_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct realm_information information;

	switch (command) {
	case KVM_GET_API_VERSION:
		return argument ? -EINVAL : KVM_API_VERSION;
	case KVM_CHECK_EXTENSION:
		return host_check_extension(argument);
	case KVM_GET_VCPU_MMAP_SIZE:
		return argument ? -EINVAL : PAGE_SIZE;
	case KVM_CREATE_VM:
		return host_vm_create(argument);
	case REALM_INFORMATION:
		host_get_information(&information);
		if (copy_to_user((void __user *)argument, &information, sizeof(information)))
			return -EFAULT;
		return 0;
	case REALM_RMM_STATISTICS:
		return rmm_statistics((void __user *)argument);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations device_operations = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = device_ioctl,
	.llseek = noop_llseek,
};

/* /sys/class/misc/realm: the counters, for people and for what watches over the host. */
#define COUNTER(name)                                                                                  \
	static ssize_t name##_show(struct device *dev, struct device_attribute *attribute, char *text) \
	{                                                                                              \
		struct realm_information information;                                                  \
                                                                                                       \
		host_get_information(&information);                                                    \
		return sysfs_emit(text, "%llu\n", information.name);                                   \
	}                                                                                              \
	static DEVICE_ATTR_RO(name)

COUNTER(realms);
COUNTER(pages_owned);
COUNTER(pages_delegated);
COUNTER(pages_lost);

static struct attribute *device_attrs[] = {
	&dev_attr_realms.attr,
	&dev_attr_pages_owned.attr,
	&dev_attr_pages_delegated.attr,
	&dev_attr_pages_lost.attr,
	NULL,
};
ATTRIBUTE_GROUPS(device);

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "realm",
	.fops = &device_operations,
	.groups = device_groups,
	.mode = 0660,
};

/*
 * The RMM forgets nothing and the kernel cannot read what belongs to a Realm, so an image of memory
 * cannot be written, and what firmware does with granules over a suspend is not known.
 */
static int on_suspend(struct notifier_block *block, unsigned long event, void *data)
{
	int result = NOTIFY_DONE;

	mutex_lock(&host_vms_lock);
	switch (event) {
	case PM_HIBERNATION_PREPARE:
	case PM_SUSPEND_PREPARE:
	case PM_RESTORE_PREPARE:
		if (!list_empty(&host_vms)) {
			pr_warn("not going to sleep while Realms live\n");
			result = notifier_from_errno(-EBUSY);
		} else {
			suspending = true;
		}
		break;
	case PM_POST_HIBERNATION:
	case PM_POST_SUSPEND:
	case PM_POST_RESTORE:
		suspending = false;
		break;
	}
	mutex_unlock(&host_vms_lock);
	return result;
}

static struct notifier_block suspend_notifier = {
	.notifier_call = on_suspend,
};

/*
 * Before a reset, a power-off or a kernel started by kexec. It cannot be refused, and the next kernel
 * would take a fault on each page that still belongs to the Realm world: all Realms end here.
 */
static int on_reboot(struct notifier_block *block, unsigned long event, void *data)
{
	struct realm_information information;

	mutex_lock(&host_vms_lock);
	WRITE_ONCE(stopping, true);
	mutex_unlock(&host_vms_lock);
	host_vm_stop_all();
	host_get_information(&information);
	if (information.pages_delegated)
		pr_emerg("%llu pages still belong to the Realm world: a kernel started by kexec cannot use them\n",
			 information.pages_delegated);
	return NOTIFY_DONE;
}

static struct notifier_block reboot_notifier = {
	.notifier_call = on_reboot,
	/* Before drivers of devices that a VM uses. */
	.priority = 128,
};

/* What the Rust half takes for granted of the CPU and of EL3. */
static int check_machine(void)
{
	if (!is_kernel_in_hyp_mode()) {
		pr_warn("the kernel does not run at EL2\n");
		return -ENODEV;
	}
	if (arm_smccc_1_1_get_conduit() != SMCCC_CONDUIT_SMC ||
	    arm_smccc_get_version() < ARM_SMCCC_VERSION_1_2) {
		pr_warn("there is no firmware with SMCCC 1.2\n");
		return -ENODEV;
	}
	if (!alternative_has_cap_likely(ARM64_HAS_LSE_ATOMICS)) {
		pr_warn("this CPU is older than Armv9 with RME\n");
		return -ENODEV;
	}
	return 0;
}

static int __init realm_module_init(void)
{
	struct realm_information information;
	int error;

	/*
	 * Masks of the interrupt controller's then stand for those of the CPU: an interrupt that ought to
	 * wait until a REC is entered (see vcpu_round()) would not end it.
	 */
	if (system_uses_irq_prio_masking()) {
		pr_err("cannot work with pseudo-NMIs: start the kernel without irqchip.gicv3_pseudo_nmi=1\n");
		return -EOPNOTSUPP;
	}
	error = host_eventfd_init();
	if (error)
		return error;

	rmm_status = check_machine();
	if (!rmm_status) {
		core_initialized = true;
		rmm_status = realm_init();
	}
	host_get_information(&information);
	if (rmm_status == -EPROTONOSUPPORT)
		pr_warn("the RMM speaks RMI %u.%u, this module speaks another version: there will be no Realms\n",
			information.rmi_major, information.rmi_minor);
	else if (rmm_status)
		pr_warn("no RMM on this machine: there will be no Realms\n");
	else
		pr_info("RMM with RMI %u.%u, features %#llx\n", information.rmi_major,
			information.rmi_minor, information.features);

	error = register_pm_notifier(&suspend_notifier);
	if (error)
		goto out_core;
	error = register_reboot_notifier(&reboot_notifier);
	if (error)
		goto out_suspend;
	error = misc_register(&device);
	if (error)
		goto out_reboot;
	return 0;

out_reboot:
	unregister_reboot_notifier(&reboot_notifier);
out_suspend:
	unregister_pm_notifier(&suspend_notifier);
out_core:
	if (core_initialized)
		realm_exit();
	host_eventfd_exit();
	return error;
}

/* Every file of a VM holds the module, so there are none left. */
static void __exit realm_module_exit(void)
{
	u64 lost = 0;

	misc_deregister(&device);
	unregister_reboot_notifier(&reboot_notifier);
	unregister_pm_notifier(&suspend_notifier);
	host_eventfd_exit();
	if (core_initialized)
		lost = realm_exit();
	if (lost)
		pr_crit("%llu pages that the RMM has not given back are lost until the machine is reset\n", lost);
}

module_init(realm_module_init);
module_exit(realm_module_exit);
MODULE_DESCRIPTION("Hosts Realms of the Arm Confidential Compute Architecture");
MODULE_AUTHOR("Cloister");
MODULE_LICENSE("Dual MIT/GPL");
