#!/usr/bin/env bash
# Prints the source of a device tree for Arm's FVP Base RevC model with RME: what the test host and a kernel
# need of it, without the buses and displays.
#
# usage: fvp-scripts/device-tree.sh CPUS BOOTARGS [RAM_DISK_SIZE]
set -euo pipefail

SCRIPTS=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=fvp-scripts/common.sh
. "$SCRIPTS/common.sh"

cpus=${1:?usage: fvp-scripts/device-tree.sh CPUS BOOTARGS [RAM_DISK_SIZE]}
bootargs=${2?usage: fvp-scripts/device-tree.sh CPUS BOOTARGS [RAM_DISK_SIZE]}
ram_disk_size=${3:-0}

# It becomes a string of the source.
bootargs=${bootargs//\\/\\\\}
bootargs=${bootargs//\"/\\\"}

ram_disk=
if [ "$ram_disk_size" -gt 0 ]; then
    ram_disk=$(printf 'linux,initrd-start = <0x0 0x%x>; linux,initrd-end = <0x0 0x%x>;' \
        "$RAM_DISK_ADDRESS" $((RAM_DISK_ADDRESS + ram_disk_size)))
fi

cat <<END
/dts-v1/;

/ {
	model = "FVP Base RevC";
	compatible = "arm,fvp-base-revc", "arm,vexpress";
	#address-cells = <2>;
	#size-cells = <2>;
	interrupt-parent = <&gic>;

	chosen {
		stdout-path = "/serial@1c090000";
		bootargs = "$bootargs";
		$ram_disk
	};

	memory@80000000 {
		device_type = "memory";
		reg = <0x0 0x80000000 0x0 0x7c000000>, <0x8 0x80000000 0x0 0x80000000>;
	};

	psci {
		compatible = "arm,psci-1.0", "arm,psci-0.2";
		method = "smc";
	};

	cpus {
		#address-cells = <2>;
		#size-cells = <0>;
END
for ((cpu = 0; cpu < cpus; cpu++)); do
    # Four cores in a cluster, one thread in a core: affinity 1 is the core, 2 the cluster.
    affinity=$((cpu / 4 << 16 | cpu % 4 << 8))
    printf '\n\t\tcpu@%x {\n\t\t\tdevice_type = "cpu";\n\t\t\tcompatible = "arm,armv8";\n' "$affinity"
    printf '\t\t\treg = <0x0 0x%x>;\n\t\t\tenable-method = "psci";\n\t\t};\n' "$affinity"
done
cat <<'END'
	};

	timer {
		compatible = "arm,armv8-timer";
		interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>;
	};

	gic: interrupt-controller@2f000000 {
		compatible = "arm,gic-v3";
		#interrupt-cells = <3>;
		#address-cells = <2>;
		#size-cells = <2>;
		interrupt-controller;
		reg = <0x0 0x2f000000 0x0 0x10000>, <0x0 0x2f100000 0x0 0x200000>;
		interrupts = <1 9 4>;
	};

	clock: clock {
		compatible = "fixed-clock";
		#clock-cells = <0>;
		clock-frequency = <24000000>;
	};

	serial@1c090000 {
		compatible = "arm,pl011", "arm,primecell";
		reg = <0x0 0x1c090000 0x0 0x1000>;
		interrupts = <0 5 4>;
		clocks = <&clock>, <&clock>;
		clock-names = "uartclk", "apb_pclk";
	};

	virtio@1c130000 {
		compatible = "virtio,mmio";
		reg = <0x0 0x1c130000 0x0 0x200>;
		interrupts = <0 42 4>;
	};
};
END
