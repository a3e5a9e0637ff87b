//! Sizes in bytes.

use std::ops::RangeInclusive;

use bytesize::ByteSize;
use drain_config::Value;

/// A size within these bounds: bytes as a number, or with a unit.
pub(super) fn size(value: &Value<'_>, bounds: RangeInclusive<u64>) -> Option<u64> {
    let read = if value.is_text() {
        value.text()?.parse::<ByteSize>().ok().map(|size| size.as_u64())
    } else {
        let [least, most] =
            [bounds.start(), bounds.end()].map(|bound| i64::try_from(*bound).unwrap_or(i64::MAX));
        u64::try_from(value.number(least, most)?).ok()
    };
    let sound = read.filter(|size| bounds.contains(size));
    if sound.is_none() {
        let [least, most] =
            [bounds.start(), bounds.end()].map(|bytes| ByteSize(*bytes).display().iec().to_string());
        value.wrong(
            "is not a size that belongs here",
            format!("expected such as \"64 KiB\", from {least} to {most}"),
        );
    }
    sound
}
