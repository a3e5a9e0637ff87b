//! Numbers made of numbers: HAProxy's converters `add`, `mul`, `bool` and their like (manual, 7.3.1).

use super::{
    sample::Value,
    variable::{Name, Variables},
};

/// What is done with a number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Arithmetic {
    With(Operator, Operand),
    Alone(Alone),
}

/// What is done with two numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Rest,
    And,
    Or,
    Xor,
}

/// The second number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Operand {
    Number(i64),
    Variable(Name),
}

/// What is done with one number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alone {
    Negative,
    Complement,
    Bool,
    Not,
    Odd,
    Even,
}

const WITH: [(&str, Operator); 8] = [
    ("add", Operator::Add),
    ("sub", Operator::Subtract),
    ("mul", Operator::Multiply),
    ("div", Operator::Divide),
    ("mod", Operator::Rest),
    ("and", Operator::And),
    ("or", Operator::Or),
    ("xor", Operator::Xor),
];

const ALONE: [(&str, Alone); 6] = [
    ("neg", Alone::Negative),
    ("cpl", Alone::Complement),
    ("bool", Alone::Bool),
    ("not", Alone::Not),
    ("odd", Alone::Odd),
    ("even", Alone::Even),
];

impl Arithmetic {
    /// `None`: there is no such converter.
    pub(super) fn read(name: &str, arguments: &[String]) -> Result<Option<Self>, String> {
        let alone = ALONE.iter().find(|(known, _)| *known == name);
        if let (Some((_, alone)), []) = (alone, arguments) {
            return Ok(Some(Self::Alone(*alone)));
        }
        let Some((_, operator)) = WITH.iter().find(|(known, _)| *known == name) else { return Ok(None) };
        let [operand] = arguments else {
            return Err(format!("converter '{name}' expects a number or a variable"));
        };
        let operand = match operand.parse() {
            Ok(number) => Operand::Number(number),
            Err(_) => Operand::Variable(Name::read(operand)?),
        };
        Ok(Some(Self::With(*operator, operand)))
    }

    /// Whether what comes of it is a number; otherwise it is a flag.
    pub(super) fn counts(&self) -> bool {
        !matches!(self, Self::Alone(Alone::Bool | Alone::Not | Alone::Odd | Alone::Even))
    }

    /// What comes of it; `None`: the variable has no number.
    pub(super) fn apply(&self, number: i64, variables: &Variables) -> Option<Value<'static>> {
        let (operator, other) = match self {
            Self::With(operator, Operand::Number(other)) => (*operator, *other),
            Self::With(operator, Operand::Variable(name)) => (*operator, variables.value(name)?.number()?),
            Self::Alone(alone) => {
                return Some(match alone {
                    Alone::Negative => Value::Number(number.wrapping_neg()),
                    Alone::Complement => Value::Number(!number),
                    Alone::Bool => Value::Flag(number != 0),
                    Alone::Not => Value::Flag(number == 0),
                    Alone::Odd => Value::Flag(number & 1 == 1),
                    Alone::Even => Value::Flag(number & 1 == 0),
                });
            }
        };
        Some(Value::Number(match operator {
            Operator::Add => number.saturating_add(other),
            Operator::Subtract => number.saturating_sub(other),
            Operator::Multiply => number.saturating_mul(other),
            Operator::Divide if other == 0 => i64::MAX,
            Operator::Divide => number.saturating_div(other),
            Operator::Rest => number.checked_rem(other).unwrap_or(0),
            Operator::And => number & other,
            Operator::Or => number | other,
            Operator::Xor => number ^ other,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_haproxys() {
        let of = |name: &str, arguments: &[&str], number: i64| {
            let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
            let arithmetic = Arithmetic::read(name, &arguments).unwrap().unwrap();
            let value = arithmetic.apply(number, &Variables::default()).unwrap();
            assert_eq!(arithmetic.counts(), matches!(value, Value::Number(_)), "{name}");
            String::from_utf8(value.text().into_owned()).unwrap()
        };
        for (name, arguments, number, expected) in [
            ("add", &["2"][..], 40, "42"),
            ("add", &["1"], i64::MAX, "9223372036854775807"),
            ("sub", &["50"], 8, "-42"),
            ("mul", &["-2"], 21, "-42"),
            ("div", &["0"], 1, "9223372036854775807"),
            ("div", &["-1"], i64::MIN, "9223372036854775807"),
            ("div", &["5"], 42, "8"),
            ("mod", &["5"], 42, "2"),
            ("mod", &["0"], 42, "0"),
            ("and", &["6"], 3, "2"),
            ("or", &["6"], 3, "7"),
            ("xor", &["6"], 3, "5"),
            ("neg", &[], 42, "-42"),
            ("cpl", &[], 0, "-1"),
            ("bool", &[], 42, "1"),
            ("not", &[], 42, "0"),
            ("odd", &[], 42, "0"),
            ("even", &[], -42, "1"),
        ] {
            assert_eq!(of(name, arguments, number), expected, "{name} {arguments:?} {number}");
        }
        assert_eq!(Arithmetic::read("lower", &[]), Ok(None));
        assert!(Arithmetic::read("add", &[]).is_err() && Arithmetic::read("add", &["x".into()]).is_err());
    }
}
