//! Numbers and addresses in decimal digits, appended without detours: each request has some twenty of them, in its heads
//! and in its line of the access log.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

/// A number, without leading zeros.
pub(crate) fn number(mut number: u64, out: &mut Vec<u8>) {
    let digit = |number: u64| b'0' + (number % 10) as u8;
    // Most are durations of few milliseconds, counts, parts of addresses.
    match number {
        ..10 => out.push(digit(number)),
        10..100 => out.extend_from_slice(&[digit(number / 10), digit(number)]),
        100..1_000 => out.extend_from_slice(&[digit(number / 100), digit(number / 10), digit(number)]),
        _ => {
            let mut digits = [0; 20];
            let mut at = digits.len();
            while number > 0 {
                at -= 1;
                digits[at] = digit(number);
                number /= 10;
            }
            out.extend_from_slice(&digits[at..]);
        }
    }
}

/// Whole milliseconds. With what [`Duration::as_millis`] gives, 128 bits wide, nobody reckons cheaply.
pub(crate) fn millis(time: Duration) -> u64 {
    time.as_secs() * 1_000 + u64::from(time.subsec_millis())
}

/// An address, without brackets.
pub(crate) fn address(ip: IpAddr, out: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => {
            let [first, rest @ ..] = ip.octets();
            number(first.into(), out);
            for octet in rest {
                out.push(b'.');
                number(octet.into(), out);
            }
        }
        IpAddr::V6(ip) => write!(out, "{ip}").expect("a vector takes everything"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_read_as_numbers() {
        for value in [0, 7, 10, 42, 99, 100, 101, 999, 1_000, 4_096, u64::MAX] {
            assert_eq!(text(|out| number(value, out)), value.to_string());
        }
    }

    #[test]
    fn addresses_have_no_brackets() {
        assert_eq!(text(|out| address([10, 0, 255, 1].into(), out)), "10.0.255.1");
        assert_eq!(text(|out| address("2001:db8::1".parse().unwrap(), out)), "2001:db8::1");
    }
}
