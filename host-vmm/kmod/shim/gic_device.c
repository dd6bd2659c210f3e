// SPDX-License-Identifier: MIT OR Apache-2.0
/* The file through which user space places the interrupt controller and starts it. */
#define pr_fmt(fmt) "realm: " fmt

#include <linux/fs.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "host.h"

/* Reads the value of an attribute, or writes it, in the width that its group has. */
static int gic_transfer(u32 group, u64 address, u64 *value, bool to_user)
{
	u32 narrow = *value;

	switch (group) {
	case KVM_DEV_ARM_VGIC_GRP_CTRL:
		return 0;
	case KVM_DEV_ARM_VGIC_GRP_NR_IRQS:
		if (to_user)
			return put_user(narrow, (u32 __user *)address);
		if (get_user(narrow, (u32 __user *)address))
			return -EFAULT;
		*value = narrow;
		return 0;
	case KVM_DEV_ARM_VGIC_GRP_ADDR:
		return to_user ? put_user(*value, (u64 __user *)address) :
				 get_user(*value, (u64 __user *)address);
	default:
		return -ENXIO;
	}
}

static int gic_set(struct host_vm *vm, const struct kvm_device_attr *attribute)
{
	u64 value = 0;
	int error;

	error = gic_transfer(attribute->group, attribute->addr, &value, false);
	if (error)
		return error;
	error = mutex_lock_killable(&vm->lock);
	if (error)
		return error;
	error = realm_vm_set_gic_attribute(vm->core, attribute->group, attribute->attr, value);
	mutex_unlock(&vm->lock);
	return error;
}

static int gic_get(struct host_vm *vm, const struct kvm_device_attr *attribute)
{
	u64 value = 0;
	int error;

	/* KVM takes the index of a region of redistributors from where the answer goes. */
	if (attribute->group == KVM_DEV_ARM_VGIC_GRP_ADDR) {
		error = gic_transfer(attribute->group, attribute->addr, &value, false);
		if (error)
			return error;
	}
	error = mutex_lock_killable(&vm->lock);
	if (error)
		return error;
	error = realm_vm_get_gic_attribute(vm->core, attribute->group, attribute->attr, &value);
	mutex_unlock(&vm->lock);
	if (error)
		return error;
	return gic_transfer(attribute->group, attribute->addr, &value, true);
}

static int gic_has(struct host_vm *vm, const struct kvm_device_attr *attribute)
{
	int error;

	error = mutex_lock_killable(&vm->lock);
	if (error)
		return error;
	error = realm_vm_has_gic_attribute(vm->core, attribute->group, attribute->attr);
	mutex_unlock(&vm->lock);
	return error;
}

static long gic_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct host_vm *vm = file->private_data;
	struct kvm_device_attr attribute;
	long result;

	if (command != KVM_SET_DEVICE_ATTR && command != KVM_GET_DEVICE_ATTR &&
	    command != KVM_HAS_DEVICE_ATTR)
		return -ENOTTY;
	if (copy_from_user(&attribute, (void __user *)argument, sizeof(attribute)))
		return -EFAULT;
	if (attribute.flags)
		return -EINVAL;
	result = host_vm_enter(vm);
	if (result)
		return result;
	switch (command) {
	case KVM_SET_DEVICE_ATTR:
		result = gic_set(vm, &attribute);
		break;
	case KVM_GET_DEVICE_ATTR:
		result = gic_get(vm, &attribute);
		break;
	default:
		result = gic_has(vm, &attribute);
	}
	return host_vm_leave(vm, result);
}

static int gic_release(struct inode *inode, struct file *file)
{
	host_vm_put(file->private_data);
	return 0;
}

static const struct file_operations gic_operations = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = gic_ioctl,
	.release = gic_release,
	.llseek = noop_llseek,
};

int host_device_create(struct host_vm *vm, struct kvm_create_device *create)
{
	int fd;

	if (create->flags & ~KVM_CREATE_DEVICE_TEST)
		return -EINVAL;
	if (create->type != KVM_DEV_TYPE_ARM_VGIC_V3)
		return -ENODEV;
	if (create->flags & KVM_CREATE_DEVICE_TEST)
		return 0;
	fd = mutex_lock_killable(&vm->lock);
	if (fd)
		return fd;
	fd = realm_vm_create_gic(vm->core);
	mutex_unlock(&vm->lock);
	if (fd < 0)
		return fd;
	/* Without a descriptor the controller is there all the same, and the VM of no use. */
	fd = host_install(vm, "realm-gic", &gic_operations, vm, O_RDWR);
	if (fd < 0)
		return fd;
	create->fd = fd;
	return 0;
}
