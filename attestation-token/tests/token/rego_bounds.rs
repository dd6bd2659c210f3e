//! What a policy in Rego cannot do to the machine that it runs on.
#![cfg(feature = "rego")]

use std::fmt::Write as _;

use attestation_token::check::Verdict;
use attestation_token::rego::{RegoError, RegoPolicy};

use crate::rego::ask;

fn parse(policy: &str) -> Result<RegoPolicy, RegoError> {
    RegoPolicy::parse("p.rego", policy.as_bytes(), None)
}

#[test]
fn brackets_inside_brackets_are_bounded() {
    let nested = |depth: usize| {
        let policy = format!(
            "package cca\nallow := {}1{}\n",
            "[".repeat(depth),
            "]".repeat(depth)
        );
        parse(&policy)
    };
    nested(12).unwrap();
    assert_eq!(nested(13).unwrap_err(), RegoError::TooDeep);
    for left_open in ["[", "{", "(", "x["] {
        let policy = format!("package cca\nallow if {}", left_open.repeat(1000));
        assert_eq!(parse(&policy).unwrap_err(), RegoError::TooDeep);
    }
    // Those in strings and comments do not count.
    let many = "[{(".repeat(20);
    let policy = format!(
        "package cca\n# {many}\nallow if \"\\\"{many}\" != `{many}`\nother := \"]\" # {many}\n"
    );
    parse(&policy).unwrap();
}

#[test]
fn long_expressions_are_bounded_and_long_lists_are_not() {
    let allow = |expression: &str| parse(&format!("package cca\nallow if {{\n{expression}\n}}\n"));
    for (begin, link, end) in [
        ("1", "+1", " > 2"),
        ("1", " +\n1", " > 2"),
        ("1", "\n+ 1", " > 2"),
        ("1", "+ # comment\n 1", " > 2"),
        ("", "-", "1 < 2"),
        ("", "-\n", "1 < 2"),
        ("input", ".a", ""),
        ("input", "\n.a", ""),
        ("input", "[0]", ""),
        ("{1}", " | {1}", " == {1}"),
        ("{1}", " |\n{1, 2}", " == {1}"),
        ("x := 1", " in x", ""),
        ("x := 1", "\nin x", ""),
    ] {
        let expression = |links| format!("{begin}{}{end}", link.repeat(links));
        let error = allow(&expression(200)).unwrap_err();
        assert_eq!(error, RegoError::TooDeep, "{link:?}");
        // The parser may have reasons of its own, but no more of this.
        let few = allow(&expression(20));
        assert_ne!(few.err(), Some(RegoError::TooDeep), "{link:?}");
    }
    for (begin, link, end) in [
        ("input.x in {0", ",\n1", "}"),
        ("true", "\ninput.a == 1", ""),
        ("true", "; 1 == 1", ""),
    ] {
        allow(&format!("{begin}{}{end}", link.repeat(100))).unwrap();
    }
    let branches = "\nelse := false if { input.a == 1 }".repeat(100);
    parse(&format!("package cca\nallow if {{ input.b }}{branches}\n")).unwrap();
    // At the bounds the stack of a thread is enough.
    for (nested, signs) in [(0, 45), (5, 6), (11, 2)] {
        let inner = format!("{}1", "-".repeat(signs));
        let outer = |inner, _| format!("{}({inner})", "-".repeat(signs));
        let expression = (0..nested).fold(inner, outer);
        let error = allow(&format!("x := {expression}")).err();
        assert_ne!(error, Some(RegoError::TooDeep));
    }
    let outer = |inner, _| format!("-({inner})");
    let expression = (0..11).fold("-".repeat(200) + "1", outer);
    let error = allow(&format!("x := {expression}")).unwrap_err();
    assert_eq!(error, RegoError::TooDeep);
}

#[test]
fn numbers_are_bounded() {
    for number in [
        // Found by fuzzing: gigabytes of zeroes.
        "0e30855555",
        "0E999999999",
        "0.0e1000",
        "1e+1000",
        "1e-1000",
        "1e0_0_1",
        "1e100",
        "111111111111111111111",
        "0.111111111111111111111",
    ] {
        let policy = format!("package cca\nallow := {number}\n");
        assert_eq!(parse(&policy).unwrap_err(), RegoError::Number, "{number}");
    }
    for policy in [
        "package cca\nallow if 1e99 > 1.5E-99\n",
        "package cca\nallow if { \"0e30855555\" != \"e5000\" } # 0e30855555\n",
        "package cca\nallow if { e5000 := 1; e5000 == 1 }\n",
    ] {
        parse(policy).unwrap();
    }
}

/// Found by fuzzing: the engine panicked over a message with a number that it could not print.
#[test]
fn numbers_cannot_grow_beyond_what_can_be_printed() {
    for (operator, expression) in [
        ('*', "5 * 5"),
        ('/', "1 / 3"),
        ('*', "{1} & 99999999999999999999*99999999999999999999"),
    ] {
        let policy = format!("package cca\nallow if {expression} > 1\n");
        assert_eq!(parse(&policy).unwrap_err(), RegoError::Operator(operator));
    }
    // In texts and comments they mean nothing.
    parse("package cca\nallow if \"*/\" != `/*` # 5 * 5 / 1\n").unwrap();
    for expression in [
        "{1} & 1e99",
        "{1} & (1e99 + 1e99)",
        "{1} & 5 % 3",
        "{1} & 1.5 % 0.0",
    ] {
        let (verdict, text) = ask(&format!("package cca\nallow if count({expression}) > 0\n"));
        assert_eq!(verdict, Verdict::Failed, "{expression}: {text}");
    }
    let data = serde_json::json!({"list": [{"number": 1e308}]});
    let policy = b"package cca\nallow if data.list[0].number > 1\n";
    let error = RegoPolicy::parse("p.rego", policy, Some(data)).unwrap_err();
    assert_eq!(error, RegoError::Number);
}

/// Functions that call others twice add as often as two to the power of their number.
#[test]
fn additions_are_counted_through_functions() {
    let policy = |functions: usize, more: &str| {
        let mut policy = String::from("package cca\nf0(x) := x + x\n");
        for index in 1..functions {
            let inner = index - 1;
            writeln!(policy, "f{index}(x) := f{inner}(f{inner}(x))").unwrap();
        }
        writeln!(
            policy,
            "allow if count({{1}} & f{}(1e99)) > 0\n{more}",
            functions - 1
        )
        .unwrap();
        policy
    };
    // 128 additions: too many only with the last.
    let (verdict, text) = ask(&policy(8, ""));
    assert_eq!(verdict, Verdict::Failed, "{text}");
    assert!(text.contains("set"), "{text}");
    for (functions, more) in [(9, ""), (12, ""), (60, ""), (8, "other := f7(1) - f7(2)")] {
        let error = parse(&policy(functions, more)).unwrap_err();
        assert_eq!(error, RegoError::Additions, "{functions} {more}");
    }
    for more in ["other := data.cca.f7(1)", "other := data[\"cca\"].f7(1)"] {
        assert_eq!(parse(&policy(8, more)).unwrap_err(), RegoError::Additions);
    }
    // In a row of rules.
    let row = |rules: usize| {
        let mut policy = format!("package cca\nallow if x{rules} == 1\nx0 := 1e99\n");
        for index in 1..=rules {
            let before = index - 1;
            writeln!(policy, "x{index} := x{before} + x{before}").unwrap();
        }
        parse(&policy).map(|_| ())
    };
    row(200).unwrap();
    assert_eq!(row(201), Err(RegoError::Additions));
}

#[test]
fn functions_cannot_take_the_place_of_others() {
    for policy in [
        "g(x) := x\nf(x) := x + x\nallow if { g(1) == 2 with g as f }",
        "f(x) := x + x\nallow if { count({1}) == 2 with count as data.cca.f }",
    ] {
        let policy = format!("package cca\nimport rego.v1\n{policy}\n");
        assert_eq!(parse(&policy).unwrap_err(), RegoError::Replacement);
    }
    let policy = "package cca\nimport rego.v1\nlow if input.n < 3\n\
                  allow if { low with input as {\"n\": 2} }\n";
    assert_eq!(ask(policy).0, Verdict::Affirmed);
}

#[test]
fn functions_that_call_themselves_are_refused() {
    for (functions, name) in [
        ("f(x) := f(x + 1)", "f"),
        ("f(x) := y if { y := f(x + 1) }", "f"),
        ("f(x) := data.cca.f(x + 1)", "f"),
        ("f(x) := data[\"cca\"].f(x + 1)", "f"),
        (
            "f(x) := g(x)\ng(x) := h(x)\nh(x) := [y | y := f(x)][0]",
            "f",
        ),
        ("f(x) if { every y in [x] { f(y) } }", "f"),
        ("f(x) := 1 if { x > 1 } else := f(x)", "f"),
        ("default f(_) := 1\nf(x) := f(x) if { x > 0 }", "f"),
        ("f.g(x) := f.g(x)", "f"),
    ] {
        let policy = format!("package cca\nimport rego.v1\nallow if f(1)\n{functions}\n");
        let error = parse(&policy).unwrap_err();
        assert_eq!(error, RegoError::Recursion(name.into()), "{functions}");
    }
    for import in ["data.cca", "data.cca.f as g", "data as d"] {
        let policy = format!("package cca\nimport {import}\nallow if f(1)\nf(x) := 1\n");
        let error = parse(&policy).unwrap_err();
        assert!(
            matches!(error, RegoError::OwnImport | RegoError::Syntax(_)),
            "{error}"
        );
    }
    // Calling others is what functions are for, and their names may be those of claims.
    let policy = "package cca\nimport rego.v1\nimport data.owner\n\
        allow if { twice(2) == 4; version(input.platform[\"cca-platform-sw-components\"][0]) }\n\
        twice(x) := add(x, x)\nadd(x, y) := x + y\n\
        version(component) if component.version == \"1.2\"\n";
    assert_eq!(ask(policy).0, Verdict::Affirmed);
}

#[test]
fn a_rule_that_needs_itself_is_a_refusal() {
    let (verdict, text) = ask("package cca\nallow if { other }\nother if { allow }\n");
    assert_eq!(verdict, Verdict::Failed);
    assert!(text.contains("recursion"), "{text}");
}

#[test]
fn functions_make_nothing_huge() {
    for expression in [
        "numbers.range(1, 10001)",
        "numbers.range(-9223372036854775808, 9223372036854775807)",
        "numbers.range(1, 1e30)",
        "concat(\"\", [\"12345678\" | some i in numbers.range(0, 8192)])",
        "sprintf(\"%1000000000d\", [1])",
        // Digits of other scripts have made a formatter panic.
        "sprintf(\"%²d\", [1])",
        "sprintf(\"%d\", [1e99])",
        "sprintf(\"%x\", [1e99])",
        "to_number(\"1e308\")",
        "to_number(\"99999999999999999999999999\")",
        "json.unmarshal(\"1e308\")",
        "sprintf(\"%\", [])",
        "sprintf(\"%d\", [])",
        "sprintf(\"\", [1])",
        "bits.lsh(1, 100000000000)",
        "sum([1e99 | some i in numbers.range(1, 10000)])",
        "json.marshal([1])",
        "array.concat(numbers.range(1, 10000), [1])",
        "product([1e99 | some i in numbers.range(1, 10000)])",
        "units.parse(\"1e99999999Q\")",
        "units.parse_bytes(\"1e99999999EiB\")",
        "json.marshal_with_options([1], {\"indent\": \"xxxxxxxxxxxxxxxxxxxxx\"})",
    ] {
        let policy = format!("package cca\nallow if {expression}\n");
        let (verdict, text) = ask(&policy);
        assert_eq!(verdict, Verdict::Failed, "{expression}: {text}");
        assert!(text.contains("the policy fails"), "{expression}: {text}");
    }
    // Each makes something much longer of the one before.
    for (value, next) in [
        ("\"aaaaaaaaaaaaaaaa\"", "replace(x, \"a\", x)"),
        (
            "\"aaaaaaaaaaaaaaaa\"",
            "concat(x, [x, x, x, x, x, x, x, x])",
        ),
        (
            "\"aaaaaaaaaaaaaaaa\"",
            "sprintf(\"%s%s%s%s%s%s%s%s\", [x, x, x, x, x, x, x, x])",
        ),
        (
            "[1, 2, 3, 4, 5, 6]",
            "[sprintf(\"%v%v%v%v%v%v\", [x, x, x, x, x, x]), x, x, x]",
        ),
    ] {
        let mut policy = format!("package cca\nallow if x20 != 1\nx0 := {value}\n");
        for step in 0..20 {
            let next = next
                .replace('x', &format!("x{step}"))
                .replace(&format!("ex{step}"), "ex");
            writeln!(policy, "x{} := {next}", step + 1).unwrap();
        }
        let (verdict, text) = ask(&policy);
        assert_eq!(verdict, Verdict::Failed, "{next}: {text}");
        assert!(text.contains("too long"), "{next}: {text}");
    }
}

#[test]
fn functions_do_what_rego_says() {
    for expression in [
        "numbers.range(1, 4) == [1, 2, 3, 4]",
        "numbers.range(2, -1) == [2, 1, 0, -1]",
        "count(numbers.range(1, 10000)) == 10000",
        "concat(\", \", [\"a\", \"b\"]) == \"a, b\"",
        "concat(\"\", {\"b\", \"a\"}) == \"ab\"",
        "concat(\"-\", []) == \"\"",
        "array.concat([1], [2, 3]) == [1, 2, 3]",
        "count(concat(\"\", [\"12345678\" | some i in numbers.range(1, 8192)])) == 65536",
        "replace(\"a.b.c\", \".\", \"::\") == \"a::b::c\"",
        "sprintf(\"100%% %s %v %d %x %t.\", [\"a\", [1, \"b\", null], -3, 255, true]) \
         == \"100% a [1, \\\"b\\\", null] -3 ff true.\"",
        "to_number(\"-17\") + to_number(true) == -16",
        "sprintf(\"%v %s\", [{\"k\": {1}}, 7]) == \"{\\\"k\\\": {1}} 7\"",
    ] {
        let policy = format!("package cca\nallow if {expression}\n");
        let (verdict, text) = ask(&policy);
        assert_eq!(verdict, Verdict::Affirmed, "{expression}: {text}");
    }
}

#[cfg(feature = "rego-time-limit")]
#[test]
fn a_policy_that_takes_too_long_is_a_refusal() {
    let (verdict, text) = ask(
        "package cca\nallow if {\n some a in numbers.range(1, 3000)\n \
         some b in numbers.range(1, 3000)\n some c in numbers.range(1, 3000)\n a + b + c < 0\n}\n",
    );
    assert_eq!(verdict, Verdict::Failed);
    assert!(text.contains("limit"), "{text}");
}
