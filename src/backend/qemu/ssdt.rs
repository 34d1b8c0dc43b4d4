//! An ACPI table with the virtio-mmio transports that have no device yet, for a template. Pure.
//!
//! QEMU's own table (DSDT) has only transports with devices (`acpi_dsdt_add_virtio` in hw/i386/acpi-microvm.c). A guest restored from a
//! template has more of them, so the template's kernel has to know all. It takes this table from its initramfs
//! (`CONFIG_ACPI_TABLE_UPGRADE`, Documentation/admin-guide/acpi/initrd_table_override.rst). The encoding is that of the ACPI
//! Specification 6.4, chapter 20 (AML), and 6.4 (resources).

/// The place of the table in an initramfs.
pub(super) const PATH: &str = "/kernel/firmware/acpi/ssdt.aml";

/// The number of transports of a microvm with one I/O APIC, which QEMU gives to devices from the last one on.
const TRANSPORTS: u32 = 8;

/// The transports of a template that have no device: all but those of the random numbers and of the serial ports.
pub(super) const FREE_TRANSPORTS: u32 = TRANSPORTS - 2;

/// The address of the first transport, the size of each, and the interrupt of the first (hw/i386/microvm.h).
const BASE: u32 = 0xfeb0_0000;
const SIZE: u32 = 512;
const INTERRUPT: u32 = 16;

/// The size of a table's header, and the position of its checksum in it.
const HEADER: usize = 36;
const CHECKSUM: usize = 9;

/// The table of the free transports of a template.
pub(super) fn table() -> Vec<u8> {
    let devices: Vec<u8> = (0..FREE_TRANSPORTS).flat_map(device).collect();
    let scope = [b"\x10".to_vec(), package(&[b"\\_SB_".to_vec(), devices].concat())].concat();
    let length = (HEADER + scope.len()) as u32;
    let mut table = [b"SSDT".as_slice(), &length.to_le_bytes(), &[2, 0], b"KILN  ", b"VIRTIOMM"].concat();
    table.extend(1u32.to_le_bytes());
    table.extend(b"KILN");
    table.extend(1u32.to_le_bytes());
    table.extend(scope);
    // All bytes of a table add up to 0.
    table[CHECKSUM] = table.iter().fold(0, |sum: u8, &byte| sum.wrapping_sub(byte));
    table
}

/// `Device (VRnn) { Name (_HID, "LNRO0005") Name (_UID, n) Name (_CRS, …) }`, as QEMU describes a transport.
fn device(transport: u32) -> Vec<u8> {
    let resources = resources(BASE + SIZE * transport, INTERRUPT + transport);
    let buffer = package(&[vec![0x0a, resources.len() as u8], resources].concat());
    let fields = [
        format!("VR{transport:02}").into_bytes(),
        b"\x08_HID\x0dLNRO0005\0".to_vec(),
        [b"\x08_UID\x0a".as_slice(), &[transport as u8]].concat(),
        b"\x08_CRS\x11".to_vec(),
        buffer,
    ];
    [b"\x5b\x82".to_vec(), package(&fields.concat())].concat()
}

/// A writable 32-bit memory range, an interrupt (level, active high, exclusive), and the end tag.
fn resources(address: u32, interrupt: u32) -> Vec<u8> {
    let memory = [&[0x86, 9, 0, 1], address.to_le_bytes().as_slice(), &SIZE.to_le_bytes()].concat();
    let interrupt = [&[0x89, 6, 0, 1, 1], interrupt.to_le_bytes().as_slice()].concat();
    [memory, interrupt, vec![0x79, 0]].concat()
}

/// A package: its length, the bytes of the length included, in one or two bytes, and its content (below 4094 bytes).
fn package(content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ ..63 => vec![short as u8 + 1],
        long => {
            let length = long + 2;
            vec![0x40 | (length & 0xf) as u8, (length >> 4) as u8]
        }
    };
    [length, content.to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_well_formed() {
        let table = table();
        assert_eq!(&table[..4], b"SSDT");
        assert_eq!(u32::from_le_bytes([table[4], table[5], table[6], table[7]]) as usize, table.len());
        assert_eq!(table.iter().fold(0, |sum: u8, &byte| sum.wrapping_add(byte)), 0);
        let count = |what: &[u8]| table.windows(what.len()).filter(|window| *window == what).count();
        assert_eq!(count(b"LNRO0005\0"), 6);
        // The last transport that is free: 0xfeb00a00, interrupt 21.
        assert_eq!(count(&[0x00, 0x0a, 0xb0, 0xfe, 0x00, 0x02, 0, 0, 0x89, 6, 0, 1, 1, 21, 0, 0, 0]), 1);
        // The scope's package ends with the table.
        assert_eq!(table[HEADER], 0x10);
        let length = usize::from(table[HEADER + 1] & 0xf) | usize::from(table[HEADER + 2]) << 4;
        assert_eq!(HEADER + 1 + length, table.len());
    }

    #[test]
    fn a_length_counts_itself() {
        assert_eq!(package(&[7; 62])[0], 63);
        assert_eq!(package(&[7; 63])[..2], [0x41, 4]);
    }
}
