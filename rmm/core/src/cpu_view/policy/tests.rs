//! The policy, its page for people, and what comes out of both.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::REGISTERS;
use crate::cpu_view::identification::tests::{EVERYTHING, NOTHING, QEMU_MAX, cpu_with};
use crate::cpu_view::{IdRegister, IdRegisters, RealmIdRegisters};

const PAGE: &str = include_str!("../../../../../docs/realm-cpu.md");

/// A row of the page.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    register: String,
    shift: u32,
    width: u32,
    field: String,
    verdict: String,
    /// In QEMU, and in a Realm there.
    example: (u64, u64),
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| panic!("number {text}"))
}

/// The rows of the tables of identification registers, and the registers that have a heading.
fn page() -> (Vec<Row>, Vec<String>) {
    let (mut rows, mut registers) = (Vec::new(), Vec::<String>::new());
    for line in PAGE.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            registers.push(heading.to_string());
        } else if line.starts_with("## ") && !registers.is_empty() {
            break;
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, bits, field, verdict, example, _, _] = cells[..] else {
            continue;
        };
        if !bits.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let (high, low) = bits.split_once(':').unwrap_or((bits, bits));
        let (cpu, realm) = example.split_once(" → ").expect("an arrow");
        rows.push(Row {
            register: registers.last().expect("a heading").clone(),
            shift: number(low),
            width: number(high) + 1 - number(low),
            field: field.to_string(),
            verdict: verdict.to_string(),
            example: (number(cpu).into(), number(realm).into()),
        });
    }
    (rows, registers)
}

fn register_of(name: &str) -> IdRegister {
    REGISTERS
        .iter()
        .find(|register| register.name == name)
        .map_or_else(
            || panic!("{name} is not in the policy"),
            |found| found.register,
        )
}

#[test]
fn the_page_has_every_field_with_its_verdict_and_no_other() {
    let (rows, registers) = page();
    let names: Vec<&str> = REGISTERS.iter().map(|register| register.name).collect();
    assert_eq!(registers, names);
    let mut rows = rows.iter();
    for register in &REGISTERS {
        for field in register.fields {
            let row = rows.next().expect("a row for each field");
            let name = format!("{}.{}", row.register, row.field);
            assert_eq!(name, format!("{}.{}", register.name, field.name));
            assert_eq!((row.shift, row.width), (field.shift, field.width), "{name}");
            assert_eq!(row.verdict, field.shown.to_string(), "{name}");
        }
    }
    assert_eq!(rows.next(), None);
}

#[test]
fn fields_go_down_and_do_not_overlap() {
    for register in &REGISTERS {
        let mut end = 64;
        for field in register.fields {
            assert!(field.width >= 1, "{}", field.name);
            assert!(field.shift + field.width <= end, "{}", field.name);
            end = field.shift;
        }
    }
}

#[test]
fn registers_are_named_once() {
    for (position, register) in REGISTERS.iter().enumerate() {
        let others = &REGISTERS[position + 1..];
        assert!(
            others
                .iter()
                .all(|other| other.register != register.register)
        );
        assert!(others.iter().all(|other| other.name != register.name));
    }
}

/// What the words of the page say of a value of the CPU: in a Realm that has everything, and in one
/// that has nothing. Numbers of breakpoints are then 15 and 0.
fn by_the_words(row: &Row, value: u64) -> (u64, u64) {
    let limit: String = row.verdict.chars().filter(char::is_ascii_digit).collect();
    let at_most = |value: u64| value.min(number(&limit).into());
    match row.verdict.as_str() {
        "hidden" => (0, 0),
        "hidden (all ones)" => (0xf, 0xf),
        "of the Realm: breakpoints" | "of the Realm: watchpoints" => (value, 0),
        verdict if verdict.starts_with("always ") => (number(&limit).into(), number(&limit).into()),
        verdict if verdict.ends_with(" (signed)") => {
            let shown = if value >= 8 { value } else { at_most(value) };
            (shown, shown)
        }
        verdict if verdict.starts_with("at most ") => (at_most(value), at_most(value)),
        verdict if verdict.starts_with("with SVE, ") => (at_most(value), 0),
        verdict if verdict.starts_with("with PMU, ") => {
            (if value == 0xf { 0 } else { at_most(value) }, 0)
        }
        other => panic!("verdict {other}"),
    }
}

#[test]
fn realms_read_what_the_page_says_of_every_value_of_every_field() {
    let (rows, _) = page();
    for row in &rows {
        let register = register_of(&row.register);
        let mask = (1 << row.width) - 1;
        // Wide fields are hidden: the ends will do.
        for value in (0..mask.min(16)).chain([mask]) {
            let seen = RealmIdRegisters::of(&cpu_with(register, value << row.shift));
            let of = |features| seen.read(features, register) >> row.shift & mask;
            let expected = by_the_words(row, value);
            assert_eq!(
                (of(EVERYTHING), of(NOTHING)),
                expected,
                "{}.{} = {value}",
                row.register,
                row.field
            );
        }
    }
}

#[test]
fn a_field_does_not_depend_on_others() {
    let (rows, _) = page();
    for row in &rows {
        let register = register_of(&row.register);
        let mask: u64 = ((1 << row.width) - 1) << row.shift;
        let alone = RealmIdRegisters::of(&cpu_with(register, mask));
        let among = RealmIdRegisters::of(&IdRegisters::new([u64::MAX; 64]));
        for features in [EVERYTHING, NOTHING] {
            assert_eq!(
                alone.read(features, register) & mask,
                among.read(features, register) & mask,
                "{}.{}",
                row.register,
                row.field
            );
        }
    }
}

#[test]
fn the_emulators_cpu_comes_out_as_the_page_says() {
    let (rows, _) = page();
    let seen = RealmIdRegisters::of(&QEMU_MAX);
    for row in &rows {
        let register = register_of(&row.register);
        let field = |value: u64| value >> row.shift & ((1 << row.width) - 1);
        assert_eq!(
            (
                field(QEMU_MAX.get(register)),
                field(seen.read(EVERYTHING, register))
            ),
            row.example,
            "{}.{}",
            row.register,
            row.field
        );
    }
}
